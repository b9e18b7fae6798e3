"""corpus: utterances in, checked in one pass before anything is trained.

In: data/corpus/sources.json (and what it hashes), the identity of the base. Out: data/corpus/utterances.parquet,
pool_reference.parquet (for audits alone), quarantine.parquet (rows that were skipped, and why), origins.parquet
(the source of each utterance); the utterances that take part in `base`, see the stage intake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from ilt import paths
from ilt.asr.families import TEXTS, length_check
from ilt.asr.languages import allowed_languages, check_languages, known_languages
from ilt.asr.model_files import context_seconds
from ilt.corpus.checks import check_corpus, check_named_languages, warn_of_small_dev
from ilt.corpus.formats import FORMATS
from ilt.corpus.intake import write_intake
from ilt.corpus.table import ORIGIN_TABLE, POOL_REFERENCE_TABLE, QUARANTINE_TABLE, UTTERANCE_TABLE
from ilt.errors import ProblemsError
from ilt.params import CorpusParams, Resolved
from ilt.stages._stage import Plan, Run, Stage, run_stage


def relevant(params: CorpusParams) -> CorpusParams:
    """Return the parameters of a corpus without those of other sources, which change nothing."""
    if params.source == "demo":
        return CorpusParams(demo=params.demo, max_duration=params.max_duration)
    update: dict[str, Any] = {"sources": []} if params.source == "manifest" else {"manifest": None}
    return params.model_copy(update={"demo": CorpusParams().demo, **update})


def chosen_formats(params: CorpusParams) -> tuple[str, ...]:
    """Return the modules that read the sources of a corpus."""
    names = {"demo": ["demo"], "manifest": ["nemo"]}.get(params.source, [source.format for source in params.sources])
    return tuple(sorted({FORMATS.module(name) for name in names}))


class CorpusPlan(Plan):
    """The corpus and what of the model limits it.

    seed:  of the demo; 0 for people's speech, of which nothing is drawn.
    later: languages that begin with an iteration, those of the first such iteration first.
    """

    seed: int
    corpus: CorpusParams
    model_id: str
    revision: str | None
    family: str
    language_alias: dict[str, str]
    later: list[list[str]]

    def chosen_modules(self) -> tuple[str, ...]:
        texts = () if self.corpus.source == "demo" else (TEXTS.module(self.family),)
        return (*chosen_formats(self.corpus), *texts)


def resolve(resolved: Resolved, _: str) -> CorpusPlan:
    params = resolved.params
    return CorpusPlan(
        seed=params.seed if params.corpus.source == "demo" else 0,
        corpus=relevant(params.corpus),
        model_id=params.model.id,
        revision=params.model.revision,
        family=resolved.model.family,
        language_alias=resolved.language_alias(),
        later=resolved.later_languages(),
    )


@dataclass(frozen=True)
class _Corpus:
    """A corpus that was read or made: its tables, of utterances without audio, and a function that writes these."""

    rows: pl.DataFrame
    references: pl.DataFrame
    quarantine: pl.DataFrame
    origins: pl.DataFrame
    write: Callable[[Path], None]


def _made(plan: CorpusPlan, known: frozenset[str] | None, longest: float) -> _Corpus:
    """Return the demo corpus."""
    params = plan.corpus
    check_languages(params.demo.languages, known, plan.language_alias, plan.model_id)
    longest = min(longest, params.max_duration or longest)
    rows, references = FORMATS.load("demo")(params.demo, plan.seed, longest, plan.later)
    return _Corpus(
        rows, references, QUARANTINE_TABLE.empty(), ORIGIN_TABLE.empty(), partial(UTTERANCE_TABLE.write, rows)
    )


def _read(plan: CorpusPlan, known: frozenset[str] | None, longest: float) -> _Corpus:
    """Return the corpus of a manifest or of sources. Raises ProblemsError unless bad rows may be skipped."""
    from ilt.corpus.importing import read_corpus

    params = plan.corpus
    writable = length_check(plan.model_id, plan.revision, plan.family, plan.language_alias)
    imported = read_corpus(params, longest, allowed_languages(known, plan.language_alias), writable)
    if imported.problems and params.on_invalid == "fail":
        raise ProblemsError(
            "the corpus has problems; mend them (`ilt validate` lists them all), or skip those rows with "
            "corpus.on_invalid=quarantine",
            imported.problems,
        )
    for line in imported.notes:
        print(f"  {line}")
    if imported.problems:
        print(f"  quarantined: {len(imported.problems)} problems, listed in {paths.QUARANTINE}")
    return _Corpus(imported.rows, imported.references, imported.quarantine, imported.origins, imported.write)


def _check(rows: pl.DataFrame, plan: CorpusPlan, known: frozenset[str] | None) -> None:
    """Raise IltError where the corpus, or the part of it that the first iteration has, cannot be trained on."""
    check_languages(rows["language"].unique(), known, plan.language_alias, plan.model_id)
    check_corpus(rows)
    later = [code for wave in plan.later for code in wave]
    check_named_languages(rows, {**dict.fromkeys(plan.language_alias, "as"), **dict.fromkeys(later, "from")})
    first = rows.filter(~pl.col("language").is_in(later))
    check_corpus(first)
    warn_of_small_dev(first)


def body(run: Run[CorpusPlan]) -> None:
    plan = run.plan
    longest = context_seconds(plan.model_id, plan.revision)
    known = known_languages(plan.model_id, plan.revision)
    corpus = (_made if plan.corpus.source == "demo" else _read)(plan, known, longest)
    rows = corpus.rows
    _check(rows, plan, known)
    pool = rows.filter(pl.col("split") == "pool")["id"].implode()
    POOL_REFERENCE_TABLE.write(corpus.references.filter(pl.col("id").is_in(pool)), paths.POOL_REFERENCE)
    QUARANTINE_TABLE.write(corpus.quarantine, paths.QUARANTINE)
    ORIGIN_TABLE.write(corpus.origins, paths.ORIGINS)
    corpus.write(paths.UTTERANCES)
    write_intake("base", [code for wave in plan.later for code in wave])
    hours = rows.group_by("split").agg(pl.len(), pl.col("duration").sum() / 60).sort("split")
    for split, count, minutes in hours.iter_rows():
        print(f"  {split}: {count} utterances, {minutes:.1f} min")


STAGE = Stage(
    name="corpus",
    plan=CorpusPlan,
    resolve=resolve,
    inputs=lambda _, __: [paths.SOURCES, paths.lineage("base")],
    outputs=lambda _, __: [
        paths.UTTERANCES,
        paths.POOL_REFERENCE,
        paths.QUARANTINE,
        paths.ORIGINS,
        paths.intake("base"),
        paths.intake_reference("base"),
    ],
    body=body,
    iterated=False,
)

if __name__ == "__main__":
    run_stage(STAGE)
