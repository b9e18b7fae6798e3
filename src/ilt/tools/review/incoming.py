"""Turn answers into corrections: checked against what went out, shown before anything is written."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

import polars as pl

from ilt.corpus.clips import audio_hashes
from ilt.corpus.text import clean_text, text_problems
from ilt.errors import IltError, Problem, ProblemsError
from ilt.labels.selection import VERDICTS
from ilt.labels.table import CORRECTIONS_TABLE
from ilt.tools.review.exchange import Answer, Answers, canonical, named
from ilt.tools.review.table import read_review

__all__ = ["Change", "Decision", "Incoming", "take_in"]


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision of one person on one utterance; the columns of the corrections. text is None if unusable."""

    id: str
    language: str
    text: str | None
    text_before: str
    verdict: str
    reviewer: str
    review: str

    def agrees(self, other: Decision) -> bool:
        """Return true where both lead to the same label."""
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
    """The changes that a file brings.

    changes:    rows that will change, by id; unchanged: answers that say what is known already.
    unreviewed: rows without a verdict; edited: of these, those whose text was changed all the same.
    """

    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0
    unreviewed: int = 0
    edited: int = 0

    @property
    def verdicts(self) -> Counter[str]:
        """The number of changes by verdict."""
        return Counter(change.after.verdict for change in self.changes)

    def applied(self, corrections: pl.DataFrame) -> pl.DataFrame:
        """Return the corrections with the changes made."""
        new = pl.DataFrame([asdict(change.after) for change in self.changes], schema=CORRECTIONS_TABLE.schema)
        return pl.concat([corrections.join(new, on="id", how="anti"), new])


def _sent(reviews: Iterable[str]) -> dict[str, dict[str, dict[str, str]] | str]:
    """Return the rows that went out by review and id; for a review without a record, the message that says so."""
    sent: dict[str, dict[str, dict[str, str]] | str] = {}
    for review in set(reviews):
        try:
            rows = read_review(review).select("id", "language", "text", "audio_hash")
        except IltError as error:
            sent[review] = str(error)
        else:
            sent[review] = {row["id"]: row for row in rows.iter_rows(named=True)}
    return sent


def _problems(answer: Answer, sent: dict[str, str], hashes: dict[str, str], reviewer: str | None) -> list[str]:
    """Return what is wrong with an answer, compared with the row that went out."""
    problems = []
    if answer.language != sent["language"]:
        problems.append(f"language {answer.language!r}, but it was exported as {sent['language']!r}")
    if canonical(answer.text_before) != canonical(sent["text"]):
        problems.append(
            f"text_before is {answer.text_before!r}, but {sent['text']!r} was exported; it must stay as it "
            "is (some spreadsheets change numbers and dates by themselves)"
        )
    if answer.id not in hashes:
        problems.append("is no longer in the corpus; was the dataset changed?")
    elif hashes[answer.id] != sent["audio_hash"]:
        problems.append("its audio is not what it was at the export; was the dataset changed?")
    if not answer.verdict:
        return problems
    if answer.verdict not in VERDICTS:
        problems.append(f"verdict {answer.verdict!r}; expected {', '.join(VERDICTS)}, or nothing")
    elif answer.verdict != "unusable" and not canonical(answer.text):
        problems.append(f"{answer.verdict}, but the text is empty; write what is said, or say unusable")
    elif answer.verdict != "unusable":
        # It will be trained on, as gold is. A person may have heard what an annotation says.
        problems += text_problems(clean_text(canonical(answer.text), "keep"), answer.language, "keep")
    by = answer.reviewer or reviewer or ""
    for name, text in (("text", canonical(answer.text)), ("reviewer's name", by)):
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
            problems.append(f"the {name} holds control characters; type it again")
    if not by:
        problems.append("the file does not say who reviewed it; give --reviewer NAME")
    return problems


def _decision(answer: Answer, sent: dict[str, str], reviewer: str | None) -> Decision:
    """Return an answer as it is stored. The text itself shows whether it was accepted or corrected."""
    before, text = sent["text"], canonical(answer.text)
    by = answer.reviewer or reviewer or ""
    if answer.verdict == "unusable":
        return Decision(answer.id, answer.language, None, before, "unusable", by, answer.review)
    same = text == canonical(before)
    verdict, text = ("accepted", before) if same else ("corrected", text)
    return Decision(answer.id, answer.language, text, before, verdict, by, answer.review)


def _checked(answers: Answers, reviewer: str | None, result: Incoming) -> list[tuple[Answer, Decision]]:
    """Return the answers with a verdict. Raises ProblemsError that names everything that is wrong with the file."""
    sent, problems = _sent(answer.review for answer in answers.rows), list(answers.problems)
    hashes = audio_hashes([key for rows in sent.values() if isinstance(rows, dict) for key in rows])
    decided = []
    for answer in answers.rows:
        rows = sent[answer.review]
        row = rows.get(answer.id) if isinstance(rows, dict) else None
        if row is not None:
            wrong = _problems(answer, row, hashes, reviewer)
        elif isinstance(rows, str):
            wrong = [rows]
        else:
            wrong = [f"review {answer.review} has no such row; the id was edited, or the row is of another dataset"]
        problems += [Problem(answer.where, named(answer.id), reason) for reason in wrong]
        if wrong or row is None:
            continue
        if answer.verdict:
            decided.append((answer, _decision(answer, row, reviewer)))
        else:
            result.unreviewed += 1
            result.edited += canonical(answer.text) not in ("", canonical(row["text"]))
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
