"""sources: hashes of what comes from outside (manifest, audio, model), so that DVC notices when it changes.

In: the files that params.yaml names. Out: data/corpus/sources.json, and data/iterations/base/lineage.json, which
identifies the base. Runs at every `dvc repro`; files whose size and time are as before are not read again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ilt import paths
from ilt.errors import IltError
from ilt.params import CorpusParams, Resolved
from ilt.stages._stage import Plan, Run, Stage, run_stage
from ilt.stages.corpus import chosen_formats, relevant

HASHES = paths.WORK / "hashes.json"


class SourcesPlan(Plan):
    """corpus: without what its source does not need. model_id, revision: of the base."""

    corpus: CorpusParams
    model_id: str
    revision: str | None

    def chosen_modules(self) -> tuple[str, ...]:
        return chosen_formats(self.corpus)


def resolve(resolved: Resolved, _: str) -> SourcesPlan:
    model = resolved.params.model
    return SourcesPlan(corpus=relevant(resolved.params.corpus), model_id=model.id, revision=model.revision)


def _known() -> dict[str, Any]:
    """Return what the last run noted of files: size, time and hash by path; nothing where the notes are damaged."""
    try:
        notes = paths.read_json(HASHES)
    except IltError:
        return {}
    entries = notes.items() if isinstance(notes, dict) else ()
    return {path: entry for path, entry in entries if isinstance(entry, list) and len(entry) == 3}


def _digest(path: Path, known: dict[str, Any]) -> list[Any]:
    """Return size, time and SHA-256 of a file; the last is that of `known` where size and time are the same.

    Raises OSError or ValueError where no such file can be read.
    """
    status = path.stat()
    mark = [status.st_size, status.st_mtime_ns]
    entry = known.get(str(path.resolve()), [])
    if entry[:2] == mark:
        return list(entry)
    with path.open("rb") as file:
        return [*mark, hashlib.file_digest(file, "sha256").hexdigest()]


def _hashed(files: list[Path]) -> str:
    """Return a hash over the contents of files; those that cannot be read count as missing."""
    known = _known()
    total = hashlib.sha256()
    now: dict[str, Any] = {}
    for path in files:
        try:
            entry = _digest(path, known)
        except (OSError, ValueError):  # a problem of its row, which the stage corpus names
            total.update(b"missing")
            continue
        now[str(path.resolve())] = entry
        total.update(entry[2].encode())
    paths.write_json(HASHES, now)
    return total.hexdigest()


def body(run: Run[SourcesPlan]) -> None:
    from ilt.asr.lineage import base_lineage

    params = run.plan.corpus
    base_lineage(run.plan.model_id, run.plan.revision).write(paths.lineage("base"))
    if params.source == "demo":
        paths.write_json(paths.SOURCES, {"source": "demo"})
        return
    from ilt.corpus.sources import open_sources

    sources = open_sources(params)
    tables = [path for source in sources for path in source.tables()]
    audio = sorted({path for source in sources for path in source.audio_files()})
    extra = [Path(params.pool_reference)] if params.pool_reference else []
    content = {"source": params.source, "audio_files": len(audio), "hash": _hashed([*tables, *extra, *audio])}
    paths.write_json(paths.SOURCES, content)


STAGE = Stage(
    name="sources",
    plan=SourcesPlan,
    resolve=resolve,
    inputs=lambda _, __: [],
    outputs=lambda _, __: [paths.SOURCES, paths.lineage("base")],
    body=body,
    iterated=False,
    always=True,
    costed=False,
    description="Hashes of manifest, audio and model; looked at on every run, so that a change is noticed.",
)

if __name__ == "__main__":
    run_stage(STAGE)
