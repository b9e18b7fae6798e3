"""Answers into corrections: checked against what went out, shown before anything is written."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass, field

import polars as pl

from ilt.corpus.clips import audio_hashes
from ilt.errors import IltError, Problem, ProblemsError
from ilt.labels.selection import VERDICTS
from ilt.labels.table import CORRECTIONS_TABLE
from ilt.tools.review.answers import Answer, Answers, canonical, named
from ilt.tools.review.table import read_review

__all__ = ["Change", "Decision", "Incoming", "take_in"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What one person decided on one utterance; the columns of the corrections. text is None if unusable."""

    id: str
    language: str
    text: str | None
    text_before: str
    verdict: str
    reviewer: str
    review: str

    def agrees(self, other: Decision) -> bool:
        """Whether both lead to the same label."""
        unusable = "unusable" in (self.verdict, other.verdict)
        same_text = canonical(self.text) == canonical(other.text)
        return self.verdict == other.verdict if unusable else same_text

    def __str__(self) -> str:
        return f"{self.reviewer}: " + ("unusable" if self.verdict == "unusable" else repr(self.text))


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the corrections that will change: before is None where it is new."""

    before: Decision | None
    after: Decision


@dataclass
class Incoming:
    """What a file brings.

    changes:    rows that will change, by id; unchanged: answers that say what is known already.
    unreviewed: rows without a verdict; edited: of these, those whose text was changed all the same.
    """

    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0
    unreviewed: int = 0
    edited: int = 0

    @property
    def verdicts(self) -> Counter[str]:
        """How many of the changes are which verdict."""
        return Counter(change.after.verdict for change in self.changes)

    def applied(self, corrections: pl.DataFrame) -> pl.DataFrame:
        """The corrections with the changes made."""
        rows = [{name: getattr(change.after, name) for name in CORRECTIONS_TABLE.schema} for change in self.changes]
        new = pl.DataFrame(rows, schema=CORRECTIONS_TABLE.schema)
        return pl.concat([corrections.join(new, on="id", how="anti"), new])


class _Records:
    """The records of the reviews that a file names, each read once."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, dict[str, str]] | IltError] = {}

    def row(self, review: str, key: str) -> dict[str, str]:
        """What went out for an utterance. Raises ValueError that says why there is nothing."""
        if review not in self._rows:
            try:
                frame = read_review(review).select("id", "language", "text", "audio_hash")
                self._rows[review] = {row["id"]: row for row in frame.iter_rows(named=True)}
            except IltError as error:
                self._rows[review] = error
        rows = self._rows[review]
        if isinstance(rows, IltError):
            raise ValueError(str(rows))
        if key not in rows:
            raise ValueError(f"review {review} has no such row; the id was edited, or the row is of another dataset")
        return rows[key]


def _wrong(answer: Answer, sent: dict[str, str], hashes: dict[str, str]) -> list[str]:
    """What is wrong with an answer, beside what went out."""
    found = []
    if answer.language != sent["language"]:
        found.append(f"language {answer.language!r}, but it was exported as {sent['language']!r}")
    if canonical(answer.text_before) != canonical(sent["text"]):
        found.append(
            f"text_before is {answer.text_before!r}, but {sent['text']!r} was exported; it must stay as it "
            "is (some spreadsheets change numbers and dates by themselves)"
        )
    if answer.id not in hashes:
        found.append("is no longer in the corpus; was the dataset changed?")
    elif hashes[answer.id] != sent["audio_hash"]:
        found.append("its audio is not what it was at the export; was the dataset changed?")
    if not answer.verdict:
        return found
    if answer.verdict not in VERDICTS:
        found.append(f"verdict {answer.verdict!r}; expected {', '.join(VERDICTS)}, or nothing")
    elif answer.verdict != "unusable" and not canonical(answer.text):
        found.append(f"{answer.verdict}, but the text is empty; write what is said, or say unusable")
    for what, text in (("text", canonical(answer.text)), ("reviewer's name", answer.reviewer)):
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
            found.append(f"the {what} holds control characters; type it again")
    return found


def _decision(answer: Answer, sent: dict[str, str], reviewer: str | None) -> Decision:
    """An answer as it is stored. Whether a text is accepted or corrected is told from the text itself."""
    before, text = sent["text"], canonical(answer.text)
    by = answer.reviewer or reviewer or ""
    if answer.verdict == "unusable":
        return Decision(answer.id, answer.language, None, before, "unusable", by, answer.review)
    same = text == canonical(before)
    verdict, text = ("accepted", before) if same else ("corrected", text)
    return Decision(answer.id, answer.language, text, before, verdict, by, answer.review)


def _checked(answers: Answers, reviewer: str | None, result: Incoming) -> list[tuple[Answer, Decision]]:
    """The answers with a verdict. Raises ProblemsError that names everything that is wrong with the file."""
    records, problems = _Records(), list(answers.problems)
    hashes = audio_hashes([answer.id for answer in answers.rows])
    decided = []
    for answer in answers.rows:
        try:
            sent = records.row(answer.review, answer.id)
        except ValueError as error:
            problems.append(Problem(answer.where, named(answer.id), str(error)))
            continue
        wrong = _wrong(answer, sent, hashes)
        if answer.verdict and not (answer.reviewer or reviewer):
            wrong.append("the file does not say who reviewed it; give --reviewer NAME")
        problems += [Problem(answer.where, answer.id, what) for what in wrong]
        if wrong:
            continue
        if answer.verdict:
            decided.append((answer, _decision(answer, sent, reviewer)))
            continue
        result.unreviewed += 1
        result.edited += canonical(answer.text) not in ("", canonical(sent["text"]))
    if problems:
        raise ProblemsError("the answers are refused, and nothing was written", problems)
    return decided


def take_in(answers: Answers, corrections: pl.DataFrame, reviewer: str | None = None, latest: bool = False) -> Incoming:
    """Work out what answers change. Nothing is written.

    reviewer: who answered, where the file does not say.
    latest:   where people disagree the later answer wins: one in the file over one that is known, one further
              down over one above. Otherwise that is a ProblemsError. The same person may answer again in
              another file; that is a change of mind.
    """
    result = Incoming()
    known = {row["id"]: Decision(**row) for row in corrections.iter_rows(named=True)}
    new: dict[str, Decision] = {}
    problems = []
    for answer, decision in _checked(answers, reviewer, result):
        key = decision.id
        earlier = new.get(key)
        if earlier is None and key in known and known[key].reviewer != decision.reviewer:
            earlier = known[key]
        if earlier is not None and not earlier.agrees(decision) and not latest:
            problems.append(Problem(answer.where, key, f"{earlier}, but {decision}"))
        if key not in new or not new[key].agrees(decision):
            new[key] = decision
    if problems:
        raise ProblemsError(
            "reviewers disagree, and nothing was written; agree and change one answer, or let the later one "
            "win with --resolve latest",
            problems,
        )
    for key, decision in sorted(new.items()):
        before = known.get(key)
        if before is not None and before.agrees(decision):
            result.unchanged += 1
        else:
            result.changes.append(Change(before, decision))
    return result
