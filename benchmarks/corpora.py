"""Evidence on imports: the same utterances from every format, and the memory that an import takes.

    python benchmarks/corpora.py formats [--human-digits PATH/manifest.jsonl]
    python benchmarks/corpora.py memory

Each writes its figures to benchmarks/results; docs/build/tables.py puts the tables into docs/corpora.md. `formats`
takes utterances of the demo corpus and, where it is given, of recorded people. `memory` makes hours of noise in a
temporary folder (2 GB at most) and imports them in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import soundfile

import layouts
from ilt.corpus.audio import RATE, audio_hash, decode_flac, read_audio
from ilt.corpus.formats.manifest import Manifest
from ilt.corpus.importing import Limits, import_rows, read_corpus
from ilt.demo.corpus import demo_corpus
from ilt.params import CorpusParams, load_params
from ilt.paths import read_json, write_json
from ilt.tools.machine import machine

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs" / "corpora.md", ROOT / "benchmarks" / "results"
COMPARED = ["id", "language", "speaker", "split", "duration", "audio_hash", "text"]
HOURS = (0.5, 2.0, 8.0)
RUNS = [("a FLAC of 10 s each", hours, 10.0) for hours in HOURS]
RUNS += [("one WAV, parts of 10 s", hours, 10.0) for hours in HOURS]
RUNS += [("one WAV, parts of 0.25 s", 2.0, 0.25)]
"""What the audio is, hours of it, seconds of each utterance."""


def _demo() -> list[tuple[str, str, str, np.ndarray]]:
    counts = {
        "gold": 4,
        "pool": 8,
        "dev": 4,
        "test": 4,
        "retention": 0,
        "languages": ["de", "en", "es", "pt"],
    }
    rows, references = demo_corpus(load_params().corpus.demo.model_copy(update=counts), 1, 30.0)
    texts = dict(references.iter_rows())
    return [
        (row["language"], row["split"], row["text"] or texts[row["id"]], decode_flac(row["audio"]["bytes"]))
        for row in rows.iter_rows(named=True)
    ]


def _people(manifest: Path) -> list[tuple[str, str, str, np.ndarray]]:
    lines = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    spoken = []
    for language in ("ar", "en"):
        for split in layouts.TAKEN:
            own = [u for u in lines if u["lang"] == language and u["split"] == split][:10]
            spoken += [
                (language, split, u.get("text") or "?", read_audio(manifest.parent / u["audio_filepath"])) for u in own
            ]
    return spoken


def compare(spoken: list[tuple[str, str, str, np.ndarray]]) -> dict[str, dict[str, Any]]:
    """Return for each format whether its utterance table is the expected one."""
    utterances = layouts.utterances(spoken)
    expected = pl.DataFrame([
        {
            "id": u.id, "language": u.language, "speaker": u.speaker, "split": u.split,
            "duration": len(u.samples) / RATE, "audio_hash": audio_hash(u.samples / np.float32(32768)),
            "text": None if u.split == "pool" else u.text,
        } for u in utterances
    ]).sort("id")  # fmt: skip
    result = {}
    for name, (_, write) in layouts.LAYOUTS.items():
        with tempfile.TemporaryDirectory() as folder:
            sources = write(Path(folder) / "corpus", utterances)
            params = CorpusParams.model_validate({"source": "sources", "sources": sources})
            imported = read_corpus(params, 30.0, None)
            same = imported.table().select(COMPARED).equals(expected)
            result[name] = {"rows": len(imported.rows), "problems": len(imported.problems), "equal": same}
    return result


def formats(human_digits: Path | None) -> None:
    result = {"demo": compare(_demo())}
    if human_digits:
        result["human-digits"] = compare(_people(human_digits))
    write_json(RESULTS / "corpora-formats.json", result)
    print("\n".join(_formats_table()))
    if not all(row["equal"] for found in result.values() for row in found.values()):
        sys.exit("a format gives other utterances")


def _formats_table() -> list[str]:
    result = read_json(RESULTS / "corpora-formats.json")
    lines = [f"| format | {' | '.join(result)} |", "|---|" + "---|" * len(result)]
    for name, (what, _) in layouts.LAYOUTS.items():
        cells = [
            f"{rows[name]['rows']} rows, {'equal' if rows[name]['equal'] else 'NOT EQUAL'}" for rows in result.values()
        ]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return lines


def _make(folder: Path, hours: float, length: float, long: bool) -> Path:
    """Write a manifest of noise: one file of `hours`, or a file for each utterance of `length` seconds."""
    rng = np.random.default_rng(0)
    count = round(hours * 3600 / length)
    with (folder / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        whole = soundfile.SoundFile(folder / "whole.wav", "w", RATE, 1, "PCM_16") if long else None
        for number in range(count):
            samples = (0.1 * rng.standard_normal(round(length * RATE))).astype(np.float32)
            line: dict[str, Any] = {"id": f"u{number:07d}", "lang": "en", "split": "pool"}
            if whole:
                whole.write(samples)
                line |= {"audio_filepath": "whole.wav", "offset": number * length, "duration": length}
            else:
                soundfile.write(folder / f"{number}.flac", samples, RATE)
                line["audio_filepath"] = f"{number}.flac"
            manifest.write(json.dumps(line) + "\n")
        if whole:
            whole.close()
    return folder / "manifest.jsonl"


def _measure(manifest: Path) -> None:
    """Import a manifest, write its table, and print the costs. Runs in a process of its own."""
    os.chdir(manifest.parent)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    imported = import_rows(Manifest(manifest).rows(), Limits(0.1, 30.0))
    imported.write(Path("utterances.parquet"))
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = Path("utterances.parquet").stat().st_size
    print(json.dumps({
        "utterances": len(imported.rows), "seconds": round(seconds, 1), "table_mb": round(size / 2**20),
        "peak_mb": round(peak / 1024), "before_mb": round(before / 1024),
    }))  # fmt: skip


def memory() -> None:
    result = []
    for kind, hours, length in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            manifest = _make(Path(folder), hours, length, kind.startswith("one WAV"))
            command = [sys.executable, __file__, "measure", str(manifest)]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        result.append({"audio": kind, "hours": hours, **json.loads(out)})
        print(result[-1], flush=True)
    write_json(RESULTS / "corpora-memory.json", {"machine": machine(), "runs": result})
    print("\n".join(_memory_table()))


def _memory_table() -> list[str]:
    lines = [
        "| audio | hours | utterances | table, MB | peak memory, MB | of that before the import | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    shown = ("audio", "hours", "utterances", "table_mb", "peak_mb", "before_mb", "seconds")
    runs = read_json(RESULTS / "corpora-memory.json")["runs"]
    cells = [[f"{row['hours']:g}" if name == "hours" else str(row[name]) for name in shown] for row in runs]
    return lines + [f"| {' | '.join(row)} |" for row in cells]


def tables() -> dict[str, list[str]]:
    """Return the tables of `PAGE` by the names of their marks."""
    return {"formats": _formats_table(), "memory": _memory_table()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["formats", "memory", "measure"])
    parser.add_argument("manifest", type=Path, nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--human-digits", type=Path)
    args = parser.parse_args()
    if args.what == "formats":
        formats(args.human_digits)
    elif args.what == "memory":
        memory()
    else:
        _measure(args.manifest)


if __name__ == "__main__":
    main()
