"""Effects of languages on one another, of adapters of their own, and of protection for what is not adapted to.

    python benchmarks/languages.py --keep FOLDER

One iteration at a reduced size (`SIZE`: four languages, small pools), each run in a clone of its own with a
shared cache. Runs: adapting to one language alone (its test error on all languages against the base is the
interference matrix); the three scopes of adapters, with the same steps (`SCOPE_STEPS`, a long fix, so that each
language's own adapter has some); and protection, in trainings long enough to forget something (`LONG`): two
languages are adapted to (`TARGET`), of the others the corpus has speech of the source domain alone, in retention
and in replay. With --keep, an interrupted call goes on where it was. Writes
benchmarks/results/languages-demo.json; docs/build/tables.py puts the tables into docs/languages.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import polars as pl

from clones import ROOT, cloned, environment, repro
from ilt.evaluation.assess import compare
from ilt.evaluation.figures import interval, percent
from ilt.evaluation.scoring import frame_errors, gain_interval, rate, rates
from ilt.params import merged, read_params
from ilt.paths import read_json, write_json
from ilt.tools.machine import machine

PAGE = ROOT / "docs" / "languages.md"
RESULT = ROOT / "benchmarks" / "results" / "languages-demo.json"

LANGUAGES = ["de", "en", "es", "ko"]
STEPS = {"focus": 60, "feedback": 60, "fix": 24}
SCOPE_STEPS = {"focus": 160, "feedback": 80, "fix": 160}
LONG = {"focus": 160, "feedback": 160, "fix": 80}
COUNTS = {"gold": 16, "pool": 60, "dev": 12, "test": 80, "retention": 100, "replay": 24}
TARGET = ["de", "es"]
OUTSIDE = [code for code in LANGUAGES if code not in TARGET]

SIZE: dict[str, Any] = {
    "corpus": {"demo": {"languages": LANGUAGES, **COUNTS}},
    **{stage: {"batch_size": 16} for stage in STEPS},
    "evaluate": {"bootstrap": 1000},
}
SCOPES = ("shared", "per_language", "shared+per_language")
RUNS: dict[str, dict[str, Any]] = {
    "all": {},
    **{f"only-{code}": {"corpus": {"demo": {"languages": [code]}}} for code in LANGUAGES},
    **{scope: {"adapter": {"scope": scope}} for scope in SCOPES},
    "none": {},
    "scale": {"adapter": {"scale": 0.7}},
    "replay": {"mixture": {"replay_share": 0.2}},
    "both": {"adapter": {"scale": 0.7}, "mixture": {"replay_share": 0.2}},
}
PROTECTED = {
    "none": "none", "scale": "`adapter.scale: 0.7`", "replay": "`mixture.replay_share: 0.2`", "both": "both",
}  # fmt: skip


def _steps(name: str) -> dict[str, Any]:
    steps = SCOPE_STEPS if name in SCOPES else LONG if name in PROTECTED else STEPS
    return {stage: {"steps": count} for stage, count in steps.items()}


def _outside_manifest(whole: Path, folder: Path) -> Path:
    """Write what a corpus has of `TARGET`, and retention and replay of the others, as a manifest with audio."""
    path = folder / "outside" / "manifest.jsonl"
    if path.is_file():
        return path
    rows = pl.read_parquet(whole / "data/corpus/utterances.parquet").filter(
        pl.col("language").is_in(TARGET) | pl.col("split").is_in(["retention", "replay"])
    )
    making = folder / ".outside"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    with (making / path.name).open("w", encoding="utf-8") as file:
        for row in rows.sort("id").iter_rows(named=True):
            (making / f"{row['id']}.flac").write_bytes(row["audio"]["bytes"])
            line = {
                "id": row["id"], "audio_filepath": f"{row['id']}.flac", "lang": row["language"],
                "split": row["split"], "speaker": row["speaker"], "text": row["text"],
            }  # fmt: skip
            file.write(json.dumps({key: value for key, value in line.items() if value is not None}) + "\n")
    making.rename(path.parent)
    return path


def _run(name: str, folder: Path) -> Path:
    values = merged(merged(merged(read_params(ROOT / "params.yaml"), SIZE), _steps(name)), RUNS[name])
    if name in PROTECTED:
        manifest = _outside_manifest(folder / "all", folder)
        values = merged(values, {"corpus": {"source": "manifest", "manifest": str(manifest)}})
    first = values["iterations"]["it1"]  # as in params.yaml, but for what SIZE says
    for stage in STEPS:
        del first[stage]["steps"]
    values["iterations"] = {"it1": first}
    clone = cloned(folder, name, values, folder / "cache")
    if not (clone / ".done").is_file():
        repro(clone, "evaluate@it1")
        (clone / ".done").touch()
    return clone


def _decode(table: Path, output: Path) -> None:
    """Write the predictions of a clone's last model for the test rows of a table. Runs in the clone."""
    from ilt import paths
    from ilt.asr.families import load_recogniser
    from ilt.asr.features import FeatureStore
    from ilt.asr.lineage import read_lineage
    from ilt.asr.predict import predict
    from ilt.params import load_params
    from ilt.stages.plan import resolve

    rows = pl.read_parquet(table).filter(pl.col("split") == "test")
    model = resolve(load_params()).recogniser("it1")
    recogniser = load_recogniser(read_lineage(paths.lineage("it1")), model)
    store = FeatureStore(rows, recogniser.extractor)
    work = paths.WORK / "decode"
    work.mkdir(parents=True, exist_ok=True)
    with paths.replacing(output) as temporary:
        predict(recogniser, rows, store, model, work).write_parquet(temporary)


def _change(before: pl.DataFrame, after: pl.DataFrame, split: str, language: str | None) -> dict[str, float]:
    """Return the error of `after` and its change, in fractions; negative is better. 95 %, paired bootstrap."""
    wanted = pl.col("split") == split
    if language is not None:
        wanted &= pl.col("language") == language
    counts = [
        frame_errors(frame.filter(wanted).sort("id"), "reference", "hypothesis", "basic") for frame in (before, after)
    ]
    return {"error": round(rate(*counts[1]), 6), **_risen(gain_interval(counts[0], counts[1], 1000, 1))}


def _risen(gain: dict[str, float]) -> dict[str, float]:
    """Return a gain as a change of the error."""
    return {"change": 0.0 - gain["micro"], "low": 0.0 - gain["high"], "high": 0.0 - gain["low"]}


def _decoded(clone: Path, whole: Path, folder: Path) -> pl.DataFrame:
    """Return the predictions of a clone's model for the test rows of all languages."""
    output = folder / f"decoded-{clone.name}.parquet"
    if not output.is_file():
        table = whole / "data/corpus/utterances.parquet"
        script = [sys.executable, str(Path(__file__).resolve())]
        subprocess.run(
            [*script, "--decode", str(table), "--output", str(output)],
            cwd=clone, env=environment(clone), check=True,
        )  # fmt: skip
    return pl.read_parquet(output)


def _seconds(clone: Path) -> float:
    costs = (clone / "data/iterations/it1/costs").glob("*.json")
    return round(sum(json.loads(path.read_text())["seconds"] for path in costs), 1)


def _scopes(clones: dict[str, Path], base: pl.DataFrame) -> dict[str, Any]:
    predictions = {name: pl.read_parquet(clones[name] / "data/iterations/it1/predictions.parquet") for name in SCOPES}
    result: dict[str, Any] = {}
    for name, after in predictions.items():
        result[name] = {
            **{split: _change(base, after, split, None) for split in ("test", "retention")},
            "by_language": {code: _change(base, after, "test", code) for code in LANGUAGES},
            "seconds": _seconds(clones[name]),
        }
        if name != SCOPES[0]:
            result[name]["gain_over_plain"] = compare(predictions[SCOPES[0]], after, "basic", 1000, 1)
    return result


def _protection(clones: dict[str, Path], base: pl.DataFrame) -> dict[str, Any]:
    """Return by kind the test error of the target, and the source domain of the target and of other languages."""
    predictions = {
        name: pl.read_parquet(clones[name] / "data/iterations/it1/predictions.parquet") for name in PROTECTED
    }
    plain, result = predictions["none"], {}
    for name, after in predictions.items():
        result[name] = {"seconds": _seconds(clones[name])}
        for what, split, codes in (
            ("test", "test", TARGET), ("retention", "retention", TARGET), ("outside", "retention", OUTSIDE),
        ):  # fmt: skip
            rows = [frame.filter(pl.col("language").is_in(codes)) for frame in (base, plain, after)]
            result[name][what] = _change(rows[0], rows[2], split, None)
            if name != "none":
                result[name][f"{what}_over_plain"] = _change(rows[1], rows[2], split, None)
    return result


def measure(folder: Path) -> dict[str, Any]:
    clones = {name: _run(name, folder) for name in RUNS}
    whole = clones["all"]
    base = pl.read_parquet(whole / "data/iterations/base/predictions.parquet")
    test, kept = (base.filter(pl.col("split") == split) for split in ("test", "retention"))
    adapted = {code: _decoded(clones[f"only-{code}"], whole, folder) for code in LANGUAGES}
    adapted["all"] = pl.read_parquet(whole / "data/iterations/it1/predictions.parquet")
    return {
        "machine": machine(),
        "size": {
            "steps": STEPS, "scope_steps": SCOPE_STEPS, "long": LONG, "counts": COUNTS,
            "languages": LANGUAGES, "target": TARGET, "batch": 16,
        },
        "base": {
            "test": rates(test, "basic"),
            "retention": rates(kept, "basic"),
            "test_of_target": rates(test.filter(pl.col("language").is_in(TARGET)), "basic")["micro"],
            "retention_of_target": rates(kept.filter(pl.col("language").is_in(TARGET)), "basic")["micro"],
            "outside": rates(kept.filter(pl.col("language").is_in(OUTSIDE)), "basic")["micro"],
        },
        "interference": {
            name: {other: _change(test, after, "test", other) for other in LANGUAGES}
            for name, after in adapted.items()
        },
        "scopes": _scopes(clones, base),
        "protection": _protection(clones, base),
    }  # fmt: skip


def _points(change: dict[str, float]) -> str:
    clear = change["low"] > 0 or change["high"] < 0
    text = f"{100 * change['change']:+.1f}"
    return f"**{text}**" if clear else text


def _between(change: dict[str, float]) -> str:
    return interval(change | {"micro": change["change"]})


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def tables() -> dict[str, list[str]]:
    """Return the tables of `PAGE` by the names of their marks."""
    result = read_json(RESULT)
    codes = result["size"]["languages"]
    base = result["base"]
    interference = [
        ["the base, error in %", *(percent(base["test"]["by_language"][code]) for code in codes)],
        *([f"adapted to {code}", *(_points(row[other]) for other in codes)]
          for code, row in result["interference"].items()),
    ]  # fmt: skip

    def over_plain(scores: dict[str, Any]) -> str:
        gain = scores.get("gain_over_plain")
        if gain is None:
            return ""
        return _between(_risen(gain))

    before = (percent(base["test"]["by_language"][code]) for code in codes)
    scopes = [["base", *before, percent(base["test"]["micro"]), "", percent(base["retention"]["micro"])]]
    for name, scores in result["scopes"].items():
        after = (percent(scores["by_language"][code]["error"]) for code in codes)
        errors = [percent(scores[split]["error"]) for split in ("test", "retention")]
        scopes.append([f"`{name}`", *after, errors[0], over_plain(scores), errors[1]])
    kinds = ("test", "retention", "outside")
    known = [base[key] for key in ("test_of_target", "retention_of_target", "outside")]
    protection = [["(base)", *map(percent, known), "", "", ""]]
    for name, scores in result["protection"].items():
        changes = [scores.get(f"{kind}_over_plain") for kind in kinds]
        protection.append(
            [
                PROTECTED[name],
                *(percent(scores[kind]["error"]) for kind in kinds),
                *(_between(change) if change else "" for change in changes),
            ]
        )
    target, others = ", ".join(result["size"]["target"]), ", ".join(OUTSIDE)
    heads = [f"{target}: test", f"{target}: retention", f"{others}: retention"]
    return {
        "interference": _table(["", *codes], interference),
        "scopes": _table(["scope", *codes, "test", "test against shared [95 %]", "retention"], scopes),
        "protection": _table(["protection", *heads, *(f"{head}, against none [95 %]" for head in heads)], protection),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="a folder for the clones, so that a call can be resumed")
    parser.add_argument("--decode", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.decode:
        _decode(args.decode, args.output)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        result = measure(folder)
    write_json(RESULT, result, sort_keys=False)
    print("\n".join(line for lines in tables().values() for line in [*lines, ""]))


if __name__ == "__main__":
    main()
