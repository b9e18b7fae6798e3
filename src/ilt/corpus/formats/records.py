"""Records of a CSV or TSV file. A quote that is not closed is a problem of its line alone."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator

__all__ = ["Record", "records"]

FIELD_LIMIT = 1 << 24
"""Characters of a field."""

Record = tuple[int, list[str] | str]
"""The line on which a record begins (from 1), and its fields, or what is wrong with it."""

QUOTED = re.compile(r'"((?:[^"]|"")*)"')


def records(lines: Iterable[str], delimiter: str, quoted: bool) -> Iterator[Record]:
    """Yield the records of a file that was opened with newline="".

    Of a file with tabs a line is a record, and a quote is a character like any other, as Common Voice writes
    it; quoted: a field that is quoted as a whole, as `csv` and pandas write it, loses these quotes all the
    same. Of all others a quoted field may go on over lines, but not with the delimiter in it as well: that is
    the look of a quote that is not closed. Reading goes on in the line after it.
    """
    csv.field_size_limit(FIELD_LIMIT)
    if delimiter == "\t":
        yield from _lines(lines, quoted)
    else:
        yield from _quoted(lines, delimiter)


def _lines(lines: Iterable[str], quoted: bool) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        fields = line.rstrip("\r\n").split("\t")
        if quoted and '"' in line:
            whole = [QUOTED.fullmatch(field) for field in fields]
            fields = [
                match[1].replace('""', '"') if match else field for match, field in zip(whole, fields, strict=True)
            ]
        if line.strip("\r\n"):
            yield number, fields


def _quoted(lines: Iterable[str], delimiter: str) -> Iterator[Record]:
    source = iter(lines)
    again: list[str] = []  # lines that were read too far, the first of them last
    taken: list[str] = []  # lines of this record

    def following() -> Iterator[str]:
        while (line := again.pop() if again else next(source, None)) is not None:
            taken.append(line)
            yield line

    begun = 1
    while True:
        taken.clear()
        wrong, fields = "", list[str]()
        try:
            fields = next(csv.reader(following(), delimiter=delimiter, strict=True, skipinitialspace=True), [])
        except csv.Error as error:
            wrong = str(error)
        if not taken:
            return
        if len(taken) > 1 and any(re.search("[\r\n]", field) and delimiter in field for field in fields):
            wrong = f"a quoted field goes on to line {begun + len(taken) - 1} with {delimiter!r} in it"
        if wrong:
            what = f'{wrong}; expected each " that opens a field to be closed, and "" for one within it'
            again += taken[:0:-1]
            yield begun, what
            begun += 1
            continue
        if fields:
            yield begun, fields
        begun += len(taken)
