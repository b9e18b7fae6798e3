"""corpus: utterances in, checked in one pass before anything is trained.

In: data/plan/corpus.json, data/corpus/sources.json (and what it hashes). Out: data/corpus/utterances.parquet,
pool_reference.parquet (only auditing reads it), quarantine.parquet (what was left out, and why),
origins.parquet (where each utterance comes from); data/intake/base.parquet and base.reference.parquet (what
takes part from the start, see the stage intake).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl

from ilt import paths
from ilt.asr.languages import allowed_languages, check_languages
from ilt.asr.recogniser import context_seconds, known_languages
from ilt.corpus.intake import write_intake
from ilt.corpus.table import ORIGIN_TABLE, POOL_REFERENCE_TABLE, QUARANTINE_TABLE, UTTERANCE_TABLE
from ilt.corpus.validate import check_corpus, say_small_dev
from ilt.errors import IltError, ProblemsError
from ilt.params import CorpusParams
from ilt.stages._stage import Stage, run_stage


def body(stage: Stage) -> None:
    params = stage.section("corpus", CorpusParams)
    model = stage.values["model"]
    longest = context_seconds(model["id"], model["revision"])
    known, taken_for = known_languages(model["id"], model["revision"]), model["languages"]
    write: Callable[[Path], None]
    quarantine, origins = QUARANTINE_TABLE.empty(), ORIGIN_TABLE.empty()
    if params.source == "demo":
        from ilt.corpus.demo import demo_corpus

        longest = min(longest, params.max_duration or longest)
        check_languages(params.demo.languages, known, taken_for, model["id"])
        rows, references = demo_corpus(params.demo, stage.values["seed"], longest, stage.values["later"])
        write = partial(UTTERANCE_TABLE.write, rows)
    else:
        from ilt.corpus.build import read_corpus
        from ilt.corpus.manifest import read_references

        found = read_corpus(params, longest, allowed_languages(known, taken_for))
        if found.problems and params.on_invalid == "fail":
            raise ProblemsError(
                "the corpus has problems; mend them (`ilt validate` lists them all), or leave rows out with "
                "corpus.on_invalid=quarantine",
                found.problems,
            )
        rows, references = found.rows, found.references
        if params.pool_reference:
            given = read_references(Path(params.pool_reference))
            references = pl.concat([references.join(given, on="id", how="anti"), given])
        quarantine, origins = found.quarantine, found.origins
        write = found.write
    check_languages(rows["language"].unique(), known, taken_for, model["id"])
    check_corpus(rows)
    later = [code for wave in stage.values["later"] for code in wave]
    if missing := sorted(set(later) - set(rows["language"])):
        raise IltError(
            f"languages.{missing[0]}.from: the corpus has no utterances of {missing[0]!r}; there are "
            f"{', '.join(rows['language'].unique().sort())}"
        )
    first = rows.filter(~pl.col("language").is_in(later))
    check_corpus(first)
    say_small_dev(first)
    pool = rows.filter(pl.col("split") == "pool")["id"].implode()
    POOL_REFERENCE_TABLE.write(references.filter(pl.col("id").is_in(pool)), paths.POOL_REFERENCE)
    QUARANTINE_TABLE.write(quarantine, paths.QUARANTINE)
    ORIGIN_TABLE.write(origins, paths.ORIGINS)
    write(paths.UTTERANCES)
    write_intake("base", later)
    hours = rows.group_by("split").agg(pl.len(), pl.col("duration").sum() / 60).sort("split")
    for split, count, minutes in hours.iter_rows():
        print(f"  {split}: {count} utterances, {minutes:.1f} min")
    if len(quarantine):
        print(f"  quarantined: {len(quarantine)} problems, listed in {paths.QUARANTINE}")


if __name__ == "__main__":
    run_stage("corpus", body, iterated=False)
