"""Checks on the corpus as a whole, after its rows are known to be good."""

from __future__ import annotations

import polars as pl

from ilt.errors import IltError

__all__ = ["check_corpus"]


def check_corpus(rows: pl.DataFrame) -> None:
    """Raise IltError where no iteration could mean anything: a split or a language without rows."""
    counts = dict(rows.group_by("split").len().iter_rows())
    wrong = [
        f"the split {split!r} has no utterances; gold, pool, dev and test are all needed"
        for split in ("gold", "pool", "dev", "test")
        if not counts.get(split)
    ]
    gold = set(rows.filter(pl.col("split") == "gold")["language"])
    target = rows.filter(
        ~pl.col("split").is_in(["retention", "replay"])
    )  # of languages that are not adapted to, too
    wrong += [
        f"the language {language!r} has no gold utterances, so that nothing can adapt to it; "
        "label some, or leave the language out"
        for language in sorted(set(target["language"]) - gold)
    ]
    if wrong:
        raise IltError("the corpus cannot be trained on:\n" + "\n".join(f"  {line}" for line in wrong))
