"""Options of `ilt export`, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ilt import paths
from ilt.errors import IltError
from ilt.tools.export.merged import QUANTIZATIONS

__all__ = ["FORMS", "RECORD", "ExportOptions", "check"]

FORMS = ("merged", "adapter", "ctranslate2")
DTYPES = ("float32", "float16", "bfloat16")
RECORD = "ilt_export.json"
"""File by which programs know an exported folder. `--force` replaces no folder without it."""


@dataclass(frozen=True)
class ExportOptions:
    """The options of the command. tolerance: points of error rate. rows: dev utterances; None: all.

    language: whose adapter is exported, of a model that has language adapters.
    """

    form: str
    output: Path
    rank: int | None = None
    quantization: str | None = None
    dtype: str | None = None
    licence: str = "unknown"
    tolerance: float = 0.5
    rows: int | None = None
    force: bool = False
    language: str | None = None


def check(options: ExportOptions) -> None:
    """Raise IltError for options that cannot be, and for an output that must not be replaced."""
    if options.form not in FORMS:
        raise IltError(f"--to {options.form!r}: there are {', '.join(FORMS)}")
    for name, form, choices in (
        ("rank", "adapter", None),
        ("quantization", "ctranslate2", QUANTIZATIONS),
        ("dtype", "merged", DTYPES),
    ):
        value = getattr(options, name)
        if value is None:
            continue
        if options.form != form:
            raise IltError(f"--{name} is for --to {form}, not for {options.form}")
        if choices and value not in choices:
            raise IltError(f"--{name} {value!r}: there are {', '.join(choices)}")
    if options.rank is not None and options.rank < 1:
        raise IltError(f"--rank {options.rank}: expected 1 or more")
    if options.rows is not None and options.rows < 1:
        raise IltError(f"--rows {options.rows}: expected 1 or more")
    if not options.tolerance >= 0:
        raise IltError(f"--tolerance {options.tolerance}: expected 0 or more points")
    _check_output(options.output, options.force)


def _check_output(output: Path, force: bool) -> None:
    paths.check_output(output, folder=True)
    if not output.exists() or not any(output.iterdir()):
        return
    if not force:
        raise IltError(f"--output {output} exists; name another folder, or say --force to replace it")
    if not (output / RECORD).is_file():
        raise IltError(
            f"--output {output} is no exported model (it has no {RECORD}), and --force does not delete other "
            "folders; name another"
        )
