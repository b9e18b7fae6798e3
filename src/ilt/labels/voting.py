"""Voting among decodes after ROVER (Fiscus 1997): align them to a pivot, vote at each place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

__all__ = ["vote"]

Units = tuple[str, ...]


def _opcodes(one: list[str], other: list[str]) -> list[tuple[str, int, int, int, int]]:
    codes = Levenshtein.opcodes(one, other)
    return [(c.tag, c.src_start, c.src_end, c.dest_start, c.dest_end) for c in codes]


def vote(hypotheses: Sequence[tuple[Sequence[str], float]]) -> list[str]:
    """Return the winning units of weighted hypotheses; the first is the pivot that the others are aligned to.

    Each unit of the pivot, and each gap between two, is a place. A hypothesis votes there, with its
    weight, for the units it has. The pivot wins ties.
    """
    pivot = list(hypotheses[0][0])
    slots: list[dict[Units, float]] = [defaultdict(float) for _ in pivot]
    gaps: list[dict[Units, float]] = [defaultdict(float) for _ in range(len(pivot) + 1)]
    for sequence, weight in hypotheses:
        units = list(sequence)
        at_slot: list[Units] = [(unit,) for unit in pivot]
        at_gap: list[Units] = [()] * (len(pivot) + 1)
        for tag, start, stop, other_start, other_stop in _opcodes(pivot, units):
            if tag == "replace":
                for offset in range(stop - start):
                    at_slot[start + offset] = (units[other_start + offset],)
            elif tag == "delete":
                for place in range(start, stop):
                    at_slot[place] = ()
            elif tag == "insert":
                at_gap[start] = tuple(units[other_start:other_stop])
        for place, choice in enumerate(at_slot):
            slots[place][choice] += weight
        for place, choice in enumerate(at_gap):
            gaps[place][choice] += weight
    result: list[str] = []
    for place in range(len(pivot) + 1):
        result += _winner(gaps[place], ())
        if place < len(pivot):
            result += _winner(slots[place], (pivot[place],))
    return result


def _winner(votes: dict[Units, float], own: Units) -> Units:
    return max(sorted(votes), key=lambda choice: (votes[choice], choice == own))
