"""intake: which utterances take part in an iteration, so that a language can be added from one of them on.

In: the utterance table, the pool reference. Out: data/intake/<it>.parquet (without audio) and
data/intake/<it>.reference.parquet. Both stay as they are, byte for byte, when a language is added that
begins in a later iteration (`languages.CODE.from`).
"""

from __future__ import annotations

import polars as pl

from ilt.corpus.intake import write_intake
from ilt.corpus.validate import check_corpus
from ilt.errors import IltError
from ilt.stages._stage import Stage, run_stage


def _check(rows: pl.DataFrame, stage: Stage) -> None:
    """Raise IltError for parameters that speak of utterances that are not there."""
    there = set(rows["language"])
    wrong = [
        f"{name}.keep_by_language: {code!r} does not take part in {stage.iteration}; there are "
        f"{', '.join(sorted(there))}"
        for name, codes in stage.values["budgets"].items()
        for code in codes
        if code not in there
    ]
    if stage.values["replay"] and not (rows["split"] == "replay").any():
        wrong.append(
            "mixture.replay_share: there are no utterances of the split `replay`; give some, or say "
            "mixture.replay_share: 0"
        )
    if wrong:
        raise IltError("parameters do not fit the corpus:\n" + "\n".join(f"  {line}" for line in wrong))


def body(stage: Stage) -> None:
    rows = write_intake(stage.iteration, stage.values["absent"])
    check_corpus(rows)
    _check(rows, stage)
    absent = stage.values["absent"]
    print(f"  {len(rows)} utterances" + (f"; not yet: {', '.join(absent)}" if absent else ""))


if __name__ == "__main__":
    run_stage("intake", body, costed=False)
