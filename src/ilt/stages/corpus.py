"""corpus: utterances in, checked in one pass before anything is trained.

In: data/plan/corpus.json, data/corpus/sources.json (and what it hashes). Out: data/corpus/utterances.parquet,
pool_reference.parquet (only auditing reads it), quarantine.parquet (what was left out, and why).
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from ilt import paths
from ilt.asr.languages import check_languages
from ilt.asr.recogniser import context_seconds, known_languages
from ilt.corpus.table import POOL_REFERENCE_TABLE, QUARANTINE_TABLE, UTTERANCE_TABLE
from ilt.corpus.validate import check_corpus
from ilt.errors import ProblemsError
from ilt.params import CorpusParams
from ilt.stages._stage import Stage, run_stage


def body(stage: Stage) -> None:
    params = stage.section("corpus", CorpusParams)
    model = stage.values["model"]
    longest = context_seconds(model["id"], model["revision"])
    longest = min(longest, params.max_duration or longest)
    known, taken_for = known_languages(model["id"], model["revision"]), model["languages"]
    quarantine = QUARANTINE_TABLE.empty()
    if params.source == "demo":
        from ilt.corpus.demo import demo_corpus

        check_languages(params.demo.languages, known, taken_for, model["id"])
        rows, references = demo_corpus(params.demo, stage.values["seed"], longest)
    else:
        from ilt.corpus.manifest import read_manifest, read_references

        allowed = known and known | {code for code, other in taken_for.items() if other in known}
        found = read_manifest(Path(str(params.manifest)), params.min_duration, longest, allowed)
        if found.problems and params.on_invalid == "fail":
            raise ProblemsError(
                "the manifest has problems; mend them, or leave rows out with corpus.on_invalid=quarantine",
                found.problems,
            )
        rows = pl.DataFrame(found.rows, schema=UTTERANCE_TABLE.schema)
        references = pl.DataFrame(found.references, schema=POOL_REFERENCE_TABLE.schema)
        if params.pool_reference:
            given = read_references(Path(params.pool_reference))
            references = pl.concat([references.join(given, on="id", how="anti"), given])
        quarantine = pl.DataFrame(
            [
                {
                    "id": f"{problem.where}#{number}",
                    "where": f"{problem.where} {problem.id}".strip(),
                    "problem": problem.what,
                }
                for number, problem in enumerate(found.problems)
            ],
            schema=QUARANTINE_TABLE.schema,
        )
    check_languages(rows["language"].unique(), known, taken_for, model["id"])
    check_corpus(rows)
    pool = rows.filter(pl.col("split") == "pool")["id"].implode()
    POOL_REFERENCE_TABLE.write(references.filter(pl.col("id").is_in(pool)), paths.POOL_REFERENCE)
    QUARANTINE_TABLE.write(quarantine, paths.QUARANTINE)
    UTTERANCE_TABLE.write(rows, paths.UTTERANCES)
    hours = rows.group_by("split").agg(pl.len(), pl.col("duration").sum() / 60).sort("split")
    for split, count, minutes in hours.iter_rows():
        print(f"  {split}: {count} utterances, {minutes:.1f} min")
    if len(quarantine):
        print(f"  quarantined: {len(quarantine)} problems, listed in {paths.QUARANTINE}")


if __name__ == "__main__":
    run_stage("corpus", body, iterated=False)
