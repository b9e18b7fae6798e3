"""Checks of what a project needs: programs, formats, optional packages, the languages of the model."""

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
from ilt.params import Resolved

__all__ = ["Finding", "extras", "languages", "programs"]


@dataclass(frozen=True)
class Finding:
    """The result of one check. state: broken stops the model from running, missing does not."""

    name: str
    state: Literal["ok", "missing", "broken"]
    what: str


def programs() -> Iterator[Finding]:
    """Check the programs and libraries that the pipeline uses; what is missing comes with how to get it."""
    for name in ("git", "dvc"):
        path = shutil.which(name)
        how = "apt-get install git" if name == "git" else "pip install dvc, or activate the environment"
        missing = f"not found; `dvc repro` needs it: {how}"
        yield Finding(name, "ok" if path else "missing", path or missing)
    yield _espeak()
    import soundfile

    formats, version = soundfile.available_formats(), soundfile.__libsndfile_version__
    if "MP3" in formats:
        yield Finding("libsndfile", "ok", f"{version}, reads mp3")
    else:
        how = "pip install --upgrade soundfile, or convert the audio"
        yield Finding("libsndfile", "missing", f"{version} reads no mp3 (1.1 does): {how}")


def _espeak() -> Finding:
    """Load the library that the demo corpus speaks with; its path alone says little."""
    from ilt.demo.espeak import load

    try:
        return Finding("espeak-ng", "ok", f"{load()[0]._name} (the demo corpus speaks with it)")
    except IltError as error:
        return Finding("espeak-ng", "missing", str(error))


def extras() -> Iterator[Finding]:
    """Check the optional extras of this package for packages that are not installed."""
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


def _wanted(resolved: Resolved) -> tuple[list[str], str]:
    """Return the languages that the parameters ask for, and where that was read."""
    corpus = resolved.params.corpus
    if corpus.source == "demo":
        return sorted(corpus.demo.languages), "corpus.demo.languages"
    if paths.UTTERANCES.is_file() and _is_current(resolved):
        codes = pl.scan_parquet(paths.UTTERANCES).select(pl.col("language").unique().sort()).collect()
        return codes["language"].to_list(), str(paths.UTTERANCES)
    return sorted(resolved.language_alias()), "languages; `ilt validate` checks those of the corpus"


def _is_current(resolved: Resolved) -> bool:
    """Return whether the utterance table was made from the source that the parameters name."""
    from ilt.stages.corpus import relevant

    path = paths.plan("corpus")
    planned = paths.read_json(path)["parameters"]["corpus"] if path.is_file() else {}
    corpus = relevant(resolved.params.corpus).model_dump(mode="json")
    return all(planned.get(key) == corpus[key] for key in ("source", "manifest", "sources"))


def languages(resolved: Resolved) -> Finding:
    """Check that the model has every language that the parameters ask for."""
    model, alias = resolved.params.model, resolved.language_alias()
    known = known_languages(model.id, model.revision)
    codes, source = _wanted(resolved)
    try:
        check_languages(codes, known, alias, model.id)
    except IltError as error:
        return Finding("languages", "broken", str(error))
    if known is None:
        return Finding("languages", "ok", f"cannot be told before the model is loaded ({source})")
    mapped = [f"{code} decoded as {other}" for code, other in alias.items()]
    return Finding("languages", "ok", "; ".join([f"{', '.join(codes) or 'none'} ({source})", *mapped]))
