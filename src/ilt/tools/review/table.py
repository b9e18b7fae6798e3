"""The review table: which rows went out to people, with which text, and how they were chosen."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import polars as pl

from ilt.errors import IltError
from ilt.paths import DATA
from ilt.tables import Table

__all__ = ["REVIEWS", "REVIEW_TABLE", "last_audit", "read_review", "record_review", "review_id"]

REVIEWS = DATA / "reviews"
"""One table for each export. They are small and belong into git, since imports and estimates read them."""

REVIEW_TABLE = Table(
    "review table",
    {
        "id": pl.String(),
        "review": pl.String(),
        "strategy": pl.String(),
        "iteration": pl.String(),
        "seed": pl.Int64(),
        "budget": pl.Int64(),
        "position": pl.Int64(),
        "language": pl.String(),
        "text": pl.String(),
        "expected_error": pl.Float64(),
        "score": pl.Float64(),
        "stratum": pl.String(),
        "stratum_size": pl.Int64(),
        "sampled": pl.Int64(),
        "stratum_units": pl.Int64(),
        "stratum_expected": pl.Float64(),
        "audio_hash": pl.String(),
        "lineage": pl.String(),
    },
)
"""text, expected_error, lineage: of the label as it was exported. audio_hash: of the utterance.

position:         the order in which people see the rows, from 0.
score:            `improve`: what the row was ranked by (`ilt.tools.review.improve`); else null.
stratum:          `audit`: language and band of expected error; else null, as are the next four.
stratum_size:     rows of the stratum in the population, N_h; sampled: of these, rows in this table, n_h.
stratum_units:    words (or characters) of all labels of the stratum;
stratum_expected: errors among them that calibration expects.
A row of an audit that people had decided before stays in the table, but is not exported again.
"""

_NAME = re.compile(r"[A-Za-z0-9_-]+")


def review_id(rows: pl.DataFrame, strategy: str, iteration: str, seed: int, budget: int) -> str:
    """Return the name of a review, as `it2-audit-1f0c93d2`: the same choice of the same labels has the same."""
    content = [strategy, iteration, seed, budget, rows.select("id", "text").rows()]
    digest = hashlib.blake2b(json.dumps(content, ensure_ascii=False).encode(), digest_size=4).hexdigest()
    return f"{iteration}-{strategy}-{digest}"


def _path(review: str) -> Path:
    return REVIEWS / f"{review}.parquet"


def record_review(record: pl.DataFrame) -> Path:
    """Write the record of one export, and return where it lies. One that is there already is left alone."""
    path = _path(record["review"][0])
    if not path.is_file() or not REVIEW_TABLE.read(path).equals(REVIEW_TABLE.conform(record)):
        REVIEW_TABLE.write(record, path)
    return path


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts it10 behind it9."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _known() -> list[str]:
    """Return the names of all recorded reviews."""
    return sorted(path.stem for path in REVIEWS.glob("*.parquet"))


def last_audit(decided: pl.Series) -> pl.DataFrame | None:
    """Return the record of the audit of the last iteration that has answers; of several the one with most.

    decided: ids of rows that people have decided. None where no audit has answers.
    """
    audits = []
    for record in map(read_review, _known()):
        answers = int(record["id"].is_in(decided.to_list()).sum())
        if record["strategy"][0] == "audit" and answers:
            audits.append((_natural(record["iteration"][0]), answers, record["review"][0], record))
    return max(audits, key=lambda entry: entry[:3])[3] if audits else None


def read_review(review: str) -> pl.DataFrame:
    """Return the record of a review. Raises IltError where there is none."""
    if not _NAME.fullmatch(review) or not _path(review).is_file():
        known = ", ".join(_known()) or "none"
        raise IltError(
            f"there is no review {review!r} in {REVIEWS} (known: {known}); was it exported from another "
            "dataset, or its record not committed?"
        )
    return REVIEW_TABLE.read(_path(review))
