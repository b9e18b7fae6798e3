"""`ilt transcribe`: files of any length to text, through the recogniser that labels and evaluates."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ilt import paths
from ilt.asr.lineage import Lineage, base_lineage, read_lineage
from ilt.corpus.audio import RATE, encode_flac
from ilt.errors import IltError
from ilt.params import RecogniserParams, load_params
from ilt.tools.export.options import RECORD
from ilt.tools.transcribe.cut import DETECTORS, FRAME, Piece, cut, levels, speech_frames
from ilt.tools.transcribe.formats import FORMATS, Segment, Transcript
from ilt.tools.transcribe.reading import audio_blocks, check_files

if TYPE_CHECKING:
    from ilt.asr.recogniser import Recogniser

__all__ = ["TranscribeOptions", "run_transcribe"]

LONGEST = 30.0
"""Seconds of a piece at most, if the model hears as much at once."""

GROUP = 1800 * RATE // FRAME
"""Frames of speech that are held in memory and decoded together: half an hour."""

SHORTEST = RATE // 10
"""Samples of a piece at least, as utterances of the corpus have; silence is put behind a shorter one."""

SUFFIXES = {"text": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt"}


@dataclass(frozen=True)
class TranscribeOptions:
    """The options of the command. iteration or model: None for the last iteration of params.yaml."""

    language: str
    iteration: str | None = None
    model: str | None = None
    form: str = "text"
    output: Path | None = None
    detector: str = "energy"


def _check(files: list[Path], options: TranscribeOptions) -> None:
    if options.form not in FORMATS:
        raise IltError(f"--format {options.form!r}: there are {', '.join(FORMATS)}")
    if options.detector not in DETECTORS:
        raise IltError(f"--vad {options.detector!r}: there are {', '.join(DETECTORS)}")
    if options.iteration and options.model:
        raise IltError("--iteration and --model: give one of them")
    if len(files) > 1 and options.form != "text" and options.output is None:
        raise IltError(f"--format {options.form} of {len(files)} files needs --output FOLDER, a file for each")
    if len(files) > 1 and options.output is not None:
        if options.output.is_file():
            raise IltError(f"--output {options.output} is a file; for {len(files)} files, name a folder")
        names: dict[str, Path] = {}
        for path in files:
            if (other := names.setdefault(path.stem, path)) is not path:
                raise IltError(f"{other} and {path} would both be written to {path.stem}; do them one by one")
    check_files(files)
    recordings = {path.resolve() for path in files}
    for path in files:
        if (target := _target(path, files, options)) is None:
            continue
        paths.check_output(target, folder=False)
        if target.resolve() in recordings:
            raise IltError(f"--output: {target} is one of the recordings, and would be lost; name another")


def _target(path: Path, files: list[Path], options: TranscribeOptions) -> Path | None:
    """Where the transcript of one of the files goes; None: to the terminal."""
    if options.output is None or (len(files) == 1 and not options.output.is_dir()):
        return options.output
    return options.output / (path.stem + SUFFIXES[options.form])


def _model(options: TranscribeOptions) -> tuple[Lineage, RecogniserParams]:
    """Which model, and how it is run. A foreign one hears its whole context, as it was trained to."""
    in_repository = Path("params.yaml").is_file()
    if options.model is None:
        params = load_params()
        iteration = options.iteration or params.ordered_iterations()[-1]
        return read_lineage(paths.lineage(iteration)), params.recogniser_model
    folder, context = Path(options.model), "full"
    record = folder / RECORD
    if record.is_file():
        found = paths.read_json(record)
        if found["form"] != "merged":
            raise IltError(f"--model {folder}: this is an exported {found['form']}; a merged one is needed")
        context = found["audio_context"]
    changes = {"id": options.model, "files": options.model, "revision": None, "audio_context": context}
    if in_repository:
        return base_lineage(options.model, None), load_params().recogniser_model.model_copy(update=changes)
    return base_lineage(options.model, None), RecogniserParams(**changes)  # type: ignore[arg-type]


def _samples(path: Path, pieces: list[Piece]) -> Iterator[np.ndarray]:
    """The samples of each piece of a file, in order; one piece and one block are held at a time."""
    held, offset = np.empty(0, np.float32), 0
    blocks = audio_blocks(path)
    for piece in pieces:
        start, end = piece.start * FRAME, piece.end * FRAME
        while True:
            skipped = min(max(0, start - offset), len(held))
            held, offset = held[skipped:], offset + skipped
            if offset + len(held) >= end or (block := next(blocks, None)) is None:
                break
            held = np.concatenate([held, block])
        found = held[start - offset : end - offset]
        yield np.pad(found, (0, max(0, SHORTEST - len(found))))


def _groups(path: Path, pieces: list[Piece]) -> Iterator[list[tuple[Piece, np.ndarray]]]:
    group: list[tuple[Piece, np.ndarray]] = []
    length = 0
    for piece, samples in zip(pieces, _samples(path, pieces), strict=True):
        if group and length + piece.end - piece.start > GROUP:
            yield group
            group, length = [], 0
        group.append((piece, samples))
        length += piece.end - piece.start
    if group:
        yield group


def _decode(
    group: list[tuple[Piece, np.ndarray]], recogniser: Recogniser, language: str, batch: int, what: str
) -> list[Segment]:
    from ilt.asr.batching import Batching
    from ilt.asr.features import FeatureStore
    from ilt.asr.transcribe import Decoding, transcribe_table

    rows = pl.DataFrame(
        {
            "id": [f"{number:06d}" for number in range(len(group))],
            "language": [language] * len(group),
            "duration": [len(samples) / RATE for _, samples in group],
            "audio": [{"bytes": encode_flac(samples)} for _, samples in group],
            "audio_hash": [""] * len(group),
        }
    )
    store = FeatureStore(rows, recogniser.extractor, 0)
    heard = transcribe_table(recogniser, rows, store, Decoding(Batching(batch)), what=what)
    columns = heard.select("text", "avg_logprob", "no_speech_prob", "finished").iter_rows()
    return [
        Segment(_seconds(piece.speech_start), _seconds(piece.speech_end), *values)
        for (piece, _), values in zip(group, columns, strict=True)
    ]


def _seconds(frame: int) -> float:
    return round(frame * FRAME / RATE, 2)


def _transcribe(path: Path, recogniser: Recogniser, model: RecogniserParams, options: TranscribeOptions) -> Transcript:
    level = levels(audio_blocks(path))
    extractor = recogniser.extractor
    context = recogniser.max_frames * extractor.hop_length / extractor.sampling_rate
    mask = speech_frames(options.detector, level, lambda: audio_blocks(path))
    pieces = cut(level, mask, int(min(LONGEST, context) * RATE / FRAME))
    segments: list[Segment] = []
    for group in _groups(path, pieces):
        at = f" from {_seconds(group[0][0].start):.0f} s" if group[0][0] is not pieces[0] else ""
        segments += _decode(group, recogniser, options.language, model.decode_batch, path.name + at)
    return Transcript(str(path), options.language, _seconds(len(level)), recogniser.lineage.hash, segments)


def _write(transcript: Transcript, target: Path, form: str) -> None:
    with paths.replacing(target) as temporary:
        temporary.write_text(transcript.written(form), encoding="utf-8")


def run_transcribe(files: list[Path], options: TranscribeOptions) -> None:
    """Transcribe files, each to the output when it is done."""
    _check(files, options)
    from ilt.asr.families import load_recogniser

    lineage, model = _model(options)
    recogniser = load_recogniser(lineage, model)
    if lineage.adapter_languages and options.language not in lineage.adapter_languages:
        print(
            f"no expert for {options.language} in this model (there are {', '.join(lineage.adapter_languages)}): it is "
            "heard with what all languages share",
            file=sys.stderr,
        )
    for path in files:
        target = _target(path, files, options)
        transcript = _transcribe(path, recogniser, model, options)
        if not transcript.segments:
            print(f"{path}: no speech was found", file=sys.stderr)
        if target is None:
            if len(files) > 1 and options.form == "text":
                print(f"# {path}")
            sys.stdout.write(transcript.written(options.form))
            sys.stdout.flush()
        else:
            _write(transcript, target, options.form)
