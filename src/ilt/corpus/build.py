"""The corpus of the parameters, read from its sources and checked as a whole."""

from __future__ import annotations

from itertools import chain

from ilt.corpus.importing import Imported, Limits, import_rows
from ilt.corpus.leaks import shared_speakers
from ilt.corpus.sources import open_sources
from ilt.params import CorpusParams

__all__ = ["read_corpus"]


def read_corpus(params: CorpusParams, longest: float, languages: frozenset[str] | None) -> Imported:
    """Read all sources of `params`, which is not the demo.

    longest: seconds that the model hears at once. languages: codes that it knows, or None for any.
    """
    longest = min(longest, params.max_duration or longest)
    cut = None
    if params.cut.method == "vad":
        from ilt.corpus.cuts import Cutter

        cut = Cutter(params.cut, longest)
    rows = chain.from_iterable(source.rows() for source in open_sources(params))
    found = import_rows(rows, Limits(params.min_duration, longest, languages), cut)
    if params.shared_speakers == "fail":
        found.leave_out(shared_speakers(found.rows))
    return found
