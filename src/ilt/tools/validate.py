"""`ilt validate`: all problems that the stage `corpus` would find."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from ilt import paths
from ilt.asr.families import length_check
from ilt.asr.languages import allowed_languages, known_languages
from ilt.asr.model_files import context_seconds
from ilt.corpus.checks import check_corpus, check_named_languages, warn_of_small_dev
from ilt.corpus.importing import read_corpus
from ilt.errors import IltError, problem_lines
from ilt.labels.selection import check_corrections, ignored_corrections
from ilt.labels.table import CORRECTIONS_TABLE
from ilt.params import load_params
from ilt.paths import replacing
from ilt.stages.plan import resolve

__all__ = ["run_validate"]


def _check_people(rows: pl.DataFrame) -> None:
    """Print what the stage select would ignore of the corrections. Raises IltError for those that it would refuse."""
    if not paths.CORRECTIONS.is_file():
        return
    corrections = CORRECTIONS_TABLE.read(paths.CORRECTIONS)
    check_corrections(corrections)
    if ignored := ignored_corrections(rows, corrections):
        print(ignored)


def run_validate(output: Path | None) -> int:
    """Print every problem, and write them to `output`, if given. Returns 1 if there are any, else 0."""
    if output and output.suffix not in (".csv", ".parquet"):
        raise IltError(f"--output {output}: expected a .csv or .parquet file")
    params = load_params()
    if params.corpus.source == "demo":
        print("the demo corpus is made, not read: there is nothing to check (corpus.source)")
        return 0
    model = params.model
    longest, known = context_seconds(model.id, model.revision), known_languages(model.id, model.revision)
    resolved = resolve(params)
    alias = resolved.language_alias()
    writable = length_check(model.id, model.revision, resolved.model.family, alias)
    corpus = read_corpus(params.corpus, longest, allowed_languages(known, alias), writable)
    for line in [*problem_lines(corpus.problems), *corpus.notes]:
        print(line)
    if output:
        with replacing(output) as temporary:
            frame = corpus.quarantine
            frame.write_csv(temporary) if output.suffix == ".csv" else frame.write_parquet(temporary)
    as_a_whole = 0
    try:
        check_corpus(corpus.rows)
        entries = {code: "as" if entry.as_ else "from" for code, entry in params.languages.items()}
        check_named_languages(corpus.rows, entries)
        warn_of_small_dev(corpus.rows)
        _check_people(corpus.rows)
    except IltError as error:
        print(error)
        as_a_whole = 1
    good, wrong = len(corpus.rows), len(corpus.problems)
    noun = "problem" if wrong == 1 else "problems"
    print(f"{good} utterances are good, {wrong} {noun}" + (f", listed in {output}" if output else ""))
    return 1 if wrong or as_a_whole else 0
