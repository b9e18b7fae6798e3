"""sources: what the corpus would be made from, as hashes, so that changed audio is noticed.

In: data/plan/sources.json and, unless the corpus is the demo, the files of its sources and all audio that
they name. (Of a dataset on the hub, only its id and revision, which stand in the parameters.)
Out: data/corpus/sources.json. Runs at every `dvc repro`; files whose size and time are as before are not
read again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ilt.params import CorpusParams
from ilt.paths import SOURCES, WORK, read_json, write_json
from ilt.stages._stage import Stage, run_stage

HASHES = WORK / "hashes.json"


def _hashed(files: list[Path]) -> str:
    known: dict[str, Any] = read_json(HASHES) if HASHES.is_file() else {}
    total = hashlib.sha256()
    now: dict[str, Any] = {}
    for path in files:
        if not path.is_file():
            total.update(b"missing")
            continue
        status, key = path.stat(), str(path.resolve())
        mark = [status.st_size, status.st_mtime_ns]
        if key in known and known[key][:2] == mark:
            digest = known[key][2]
        else:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        now[key] = [*mark, digest]
        total.update(digest.encode())
    write_json(HASHES, now)
    return total.hexdigest()


def body(stage: Stage) -> None:
    params = stage.section("corpus", CorpusParams)
    if params.source == "demo":
        write_json(SOURCES, {"source": "demo"})
        return
    from ilt.corpus.sources import open_sources

    sources = open_sources(params)
    tables = [path for source in sources for path in source.tables()]
    audio = sorted({path for source in sources for path in source.audio_files()})
    extra = [Path(params.pool_reference)] if params.pool_reference else []
    write_json(
        SOURCES,
        {"source": params.source, "audio_files": len(audio), "hash": _hashed([*tables, *extra, *audio])},
    )


if __name__ == "__main__":
    run_stage("sources", body, iterated=False, costed=False)
