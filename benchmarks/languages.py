"""What languages do to one another, what experts gain, and what protects what is outside of the target.

    python benchmarks/languages.py --keep FOLDER

One iteration at a reduced size (`SIZE`: four languages, small pools, few steps; the same number of optimiser
steps in every run), each run in a clone of its own with a shared cache. Runs: adapting to one language alone
(its test error on all languages against the base is the interference matrix), the three scopes of adapters,
and, in trainings long enough to forget something (`LONG`), merge.scale, replay and both. With --keep, an
interrupted call goes on where it was. Writes benchmarks/results/languages-demo.json and the tables in
docs/languages.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import polars as pl

from clones import ROOT, cloned, environment, repro
from ilt.evaluation.assess import compare
from ilt.evaluation.scoring import frame_errors, gain_interval, rate, rates
from ilt.figures import interval, percent
from ilt.machine import machine
from ilt.params import merged, read_params
from ilt.paths import write_json
from pages import put

DOCS = ROOT / "docs" / "languages.md"
RESULT = ROOT / "benchmarks" / "results" / "languages-demo.json"

LANGUAGES = ["de", "en", "es", "ko"]
STEPS = {"focus": 60, "feedback": 60, "fix": 24}
LONG = {"focus": 160, "feedback": 160, "fix": 80}
COUNTS = {"gold": 16, "pool": 60, "dev": 12, "test": 40, "retention": 30, "replay": 24}

SIZE: dict[str, Any] = {
    "corpus": {"demo": {"languages": LANGUAGES, **COUNTS}},
    **{stage: {"steps": steps, "batch_size": 16} for stage, steps in STEPS.items()},
    "evaluate": {"bootstrap": 1000},
}
LONGER: dict[str, Any] = {stage: {"steps": steps} for stage, steps in LONG.items()}
SCOPES = ("shared", "per_language", "shared+per_language")
RUNS: dict[str, dict[str, Any]] = {
    "shared": {},
    **{f"only-{code}": {"corpus": {"demo": {"languages": [code]}}} for code in LANGUAGES},
    "per_language": {"adapter": {"scope": "per_language"}},
    "shared+per_language": {"adapter": {"scope": "shared+per_language"}},
    "long": LONGER,
    "long-scale": LONGER | {"merge": {"scale": 0.7}},
    "long-replay": LONGER | {"mixture": {"replay_share": 0.2}},
    "long-both": LONGER | {"merge": {"scale": 0.7}, "mixture": {"replay_share": 0.2}},
}
PROTECTED = {
    "long": "none", "long-scale": "`merge.scale: 0.7`", "long-replay": "`mixture.replay_share: 0.2`",
    "long-both": "both",
}  # fmt: skip


def _run(name: str, folder: Path) -> Path:
    values = merged(merged(read_params(ROOT / "params.yaml"), SIZE), RUNS[name])
    first = values["iterations"]["it1"]  # as in params.yaml, but for what SIZE says
    for stage in STEPS:
        del first[stage]["steps"]
    values["iterations"] = {"it1": first}
    clone = cloned(folder, name, values, folder / "cache")
    if not (clone / ".done").is_file():
        repro(clone, "evaluate@it1")
        (clone / ".done").touch()
    return clone


def _hear(table: Path, output: Path) -> None:
    """In a clone: what its last model says of the test rows of a table, as predictions."""
    from ilt import paths
    from ilt.asr.features import FeatureStore
    from ilt.asr.lineage import read_lineage
    from ilt.asr.recogniser import load_recogniser
    from ilt.evaluation.predict import predict
    from ilt.params import load_params

    rows = pl.read_parquet(table).filter(pl.col("split") == "test")
    model = load_params().recogniser_model
    recogniser = load_recogniser(read_lineage(paths.lineage("it1")), model)
    store = FeatureStore(rows, recogniser.extractor, model.feature_cache_mb)
    work = paths.WORK / "hear"
    work.mkdir(parents=True, exist_ok=True)
    with paths.replacing(output) as temporary:
        predict(recogniser, rows, store, model, work).write_parquet(temporary)


def _change(before: pl.DataFrame, after: pl.DataFrame, split: str, language: str | None) -> dict[str, float]:
    """Error of `after` and how it changed, in fractions; negative is better. 95 %, paired bootstrap."""
    wanted = pl.col("split") == split
    if language is not None:
        wanted &= pl.col("language") == language
    counts = [
        frame_errors(frame.filter(wanted).sort("id"), "reference", "hypothesis", "basic")
        for frame in (before, after)
    ]
    return {"error": round(rate(*counts[1]), 6), **_risen(gain_interval(counts[0], counts[1], 1000, 1))}


def _risen(gain: dict[str, float]) -> dict[str, float]:
    """A gain as a change of the error."""
    return {"change": 0.0 - gain["micro"], "low": 0.0 - gain["high"], "high": 0.0 - gain["low"]}


def measure(folder: Path) -> dict[str, Any]:
    clones = {name: _run(name, folder) for name in RUNS}
    whole = clones["shared"]
    base = pl.read_parquet(whole / "data/predictions/base.parquet")
    result: dict[str, Any] = {
        "machine": machine(),
        "size": {
            "steps": STEPS, "long": LONG, "counts": COUNTS, "languages": LANGUAGES, "batch": 16,
        },
        "base": {}, "interference": {}, "scopes": {}, "protection": {},
    }  # fmt: skip
    for split in ("test", "retention"):
        result["base"][split] = rates(base.filter(pl.col("split") == split), "basic")
    for code in LANGUAGES:
        clone, heard = clones[f"only-{code}"], folder / f"heard-{code}.parquet"
        if not heard.is_file():
            table = whole / "data/corpus/utterances.parquet"
            command = [
                sys.executable,
                str(Path(__file__).resolve()),
                "--hear",
                str(table),
                "--output",
                str(heard),
            ]
            subprocess.run(command, cwd=clone, env=environment(clone), check=True)
        after = pl.read_parquet(heard)
        test = base.filter(pl.col("split") == "test")
        result["interference"][code] = {other: _change(test, after, "test", other) for other in LANGUAGES}
    for kind, names in (("scopes", SCOPES), ("protection", tuple(PROTECTED))):
        plain = pl.read_parquet(clones[names[0]] / "data/predictions/it1.parquet")
        for name in names:
            after = pl.read_parquet(clones[name] / "data/predictions/it1.parquet")
            found: dict[str, Any] = {
                split: _change(base, after, split, None) for split in ("test", "retention")
            }
            found["by_language"] = {code: _change(base, after, "test", code) for code in LANGUAGES}
            if name != names[0]:
                found["gain_over_plain"] = compare(plain, after, "basic", 1000, 1)
                change = _change(plain, after, "retention", None)
                found["retention_over_plain"] = {key: change[key] for key in ("change", "low", "high")}
            costs = (clones[name] / "data/costs/it1").glob("*.json")
            found["seconds"] = round(sum(json.loads(path.read_text())["seconds"] for path in costs), 1)
            result[kind][name] = found
    return result


def _points(change: dict[str, float]) -> str:
    clear = change["low"] > 0 or change["high"] < 0
    text = f"{100 * change['change']:+.1f}"
    return f"**{text}**" if clear else text


def _between(change: dict[str, float]) -> str:
    return interval(change | {"micro": change["change"]})


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def tables(result: dict[str, Any]) -> dict[str, list[str]]:
    """The tables of docs/languages.md, by the name of their markers."""
    codes = result["size"]["languages"]
    base = result["base"]
    interference = [
        ["the base, error in %", *(percent(base["test"]["by_language"][code]) for code in codes)],
        *([f"adapted to {code}", *(_points(row[other]) for other in codes)]
          for code, row in result["interference"].items()),
        ["adapted to all", *(_points(result["scopes"]["shared"]["by_language"][code]) for code in codes)],
    ]  # fmt: skip

    def over_plain(found: dict[str, Any]) -> str:
        gain = found.get("gain_over_plain")
        if gain is None:
            return ""
        return _between(_risen(gain))

    before = (percent(base["test"]["by_language"][code]) for code in codes)
    scopes = [["base", *before, percent(base["test"]["micro"]), "", percent(base["retention"]["micro"])]]
    for name, found in result["scopes"].items():
        after = (percent(found["by_language"][code]["error"]) for code in codes)
        errors = [percent(found[split]["error"]) for split in ("test", "retention")]
        scopes.append([f"`{name}`", *after, errors[0], over_plain(found), errors[1]])
    protection = [["(base)", percent(base["test"]["micro"]), percent(base["retention"]["micro"]), "", ""]]
    for name, found in result["protection"].items():
        kept = found.get("retention_over_plain")
        errors = [percent(found[split]["error"]) for split in ("test", "retention")]
        protection.append([PROTECTED[name], *errors, over_plain(found), _between(kept) if kept else ""])
    return {
        "interference": _table(["", *codes], interference),
        "scopes": _table(["scope", *codes, "test", "test against shared [95 %]", "retention"], scopes),
        "protection": _table(
            ["protection", "test", "retention", "test against none [95 %]", "retention against none [95 %]"],
            protection,
        ),
    }


def write_docs(result: dict[str, Any]) -> None:
    for name, lines in tables(result).items():
        put(DOCS, "languages", name, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="a folder for the clones, so that a call can be resumed")
    parser.add_argument("--hear", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.hear:
        _hear(args.hear, args.output)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        result = measure(folder)
    write_json(RESULT, result, sort_keys=False)
    write_docs(result)
    print("\n".join(line for lines in tables(result).values() for line in [*lines, ""]))


if __name__ == "__main__":
    main()
