"""Checks on the corpus as a whole, after its rows are known to be good."""

from __future__ import annotations

import polars as pl

from ilt.errors import IltError
from ilt.params import LEAST_DEV

__all__ = ["check_corpus", "warn_of_small_dev"]


def check_corpus(rows: pl.DataFrame) -> None:
    """Raise IltError where no iteration could mean anything: no rows in a split, no gold in a language."""
    counts = dict(rows.group_by("split").len().iter_rows())
    wrong = [
        f"the split {split!r} has no utterances; gold, pool, dev and test are all needed"
        for split in ("gold", "pool", "dev", "test")
        if not counts.get(split)
    ]
    gold = set(rows.filter(pl.col("split") == "gold")["language"])
    target = rows.filter(~pl.col("split").is_in(["retention", "replay"]))  # of languages that are not adapted to, too
    wrong += [
        f"the language {language!r} has no gold utterances, so that nothing can adapt to it; "
        "label some, or leave the language out"
        for language in sorted(set(target["language"]) - gold)
    ]
    if wrong:
        raise IltError("the corpus cannot be trained on:\n" + "\n".join(f"  {line}" for line in wrong))


def warn_of_small_dev(rows: pl.DataFrame) -> None:
    """Print where dev is too small for `select`, so that nobody learns that behind hours of training.

    No error: one LoRA on gold (`adapter.mode=single`) needs no calibration.
    """
    count = len(rows.filter(pl.col("split") == "dev"))
    if count < LEAST_DEV:
        print(
            f"dev has {count} utterances: select needs {LEAST_DEV} at least to calibrate expected errors on, "
            "and some hundred are better"
        )
