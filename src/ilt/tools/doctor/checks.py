"""What is there and what is not: programs, formats, optional packages, the languages of the model."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import polars as pl

from ilt import paths
from ilt.asr.languages import check_languages, known_languages
from ilt.errors import IltError
from ilt.params import Params

__all__ = ["Finding", "extras", "languages", "programs"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. state: broken stops the model from running, missing does not."""

    name: str
    state: Literal["ok", "missing", "broken"]
    what: str


def programs() -> Iterator[Finding]:
    """Programs and libraries that the pipeline uses, and how to get them."""
    for name in ("git", "dvc"):
        found = shutil.which(name)
        how = "apt-get install git" if name == "git" else "pip install dvc, or activate the environment"
        missing = f"not found; `dvc repro` needs it: {how}"
        yield Finding(name, "ok" if found else "missing", found or missing)
    yield _espeak()
    import soundfile

    formats, version = soundfile.available_formats(), soundfile.__libsndfile_version__
    if "MP3" in formats:
        yield Finding("libsndfile", "ok", f"{version}, reads mp3")
    else:
        how = "pip install --upgrade soundfile, or convert the audio"
        yield Finding("libsndfile", "missing", f"{version} reads no mp3 (1.1 does): {how}")


def _espeak() -> Finding:
    """Whether the library that the demo corpus speaks with can be loaded; a path alone says little."""
    from ilt.demo.espeak import load

    try:
        return Finding("espeak-ng", "ok", f"{load()[0]._name} (the demo corpus speaks with it)")
    except IltError as error:
        return Finding("espeak-ng", "missing", str(error))


def extras() -> Iterator[Finding]:
    """The optional extras of this package, and which of their packages are not installed."""
    from packaging.requirements import Requirement

    try:
        about = importlib.metadata.metadata("ilt")
    except importlib.metadata.PackageNotFoundError:
        return
    wanted = [Requirement(text) for text in about.get_all("Requires-Dist") or []]
    for extra in sorted(about.get_all("Provides-Extra") or []):
        names = [r.name for r in wanted if r.marker and r.marker.evaluate({"extra": extra})]
        absent = []
        for name in sorted(names):
            try:
                importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                absent.append(name)
        missing = f"without {', '.join(absent)}: pip install -e '.[{extra}]'"
        what = missing if absent else ", ".join(sorted(names))
        yield Finding(f"extra {extra}", "missing" if absent else "ok", what)


def _wanted(params: Params) -> tuple[list[str], str]:
    """The languages that the parameters ask for, and where that was read."""
    if params.corpus.source == "demo":
        return sorted(params.corpus.demo.languages), "corpus.demo.languages"
    if paths.UTTERANCES.is_file() and _read_last(params):
        codes = pl.scan_parquet(paths.UTTERANCES).select(pl.col("language").unique().sort()).collect()
        return codes["language"].to_list(), str(paths.UTTERANCES)
    return sorted(params.language_alias), "languages; `ilt validate` checks those of the corpus"


def _read_last(params: Params) -> bool:
    """Whether the table of utterances is of the source that the parameters name."""
    path = paths.plan("corpus")
    told = paths.read_json(path)["corpus"] if path.is_file() else {}
    now = params.corpus.model_dump(mode="json")
    return all(told.get(key) == now[key] for key in ("source", "manifest", "sources"))


def languages(params: Params) -> Finding:
    """Whether the model has every language that the parameters ask for."""
    known = known_languages(params.model.id, params.model.revision)
    codes, where = _wanted(params)
    try:
        check_languages(codes, known, params.language_alias, params.model.id)
    except IltError as error:
        return Finding("languages", "broken", str(error))
    if known is None:
        return Finding("languages", "ok", f"cannot be told before the model is loaded ({where})")
    mapped = [f"{code} taken for {other}" for code, other in params.language_alias.items()]
    return Finding("languages", "ok", "; ".join([f"{', '.join(codes) or 'none'} ({where})", *mapped]))
