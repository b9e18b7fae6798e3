"""`ilt transcribe`: files of any length to text, through the recogniser that labels and evaluates."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from ilt import paths
from ilt.asr.languages import check_languages, known_languages
from ilt.asr.lineage import Lineage, base_lineage, read_lineage
from ilt.corpus.audio import RATE, encode_flac
from ilt.corpus.cuts import speech_spans
from ilt.corpus.vad import Activity, VoiceActivity, loud_activity
from ilt.errors import IltError
from ilt.escapes import visible
from ilt.params import CutParams, RecogniserParams, load_params, ordered_iterations
from ilt.tools.export.options import RECORD
from ilt.tools.recognisers import iteration_model, recogniser_params
from ilt.tools.transcribe.formats import FORMATS, Segment, Transcript
from ilt.tools.transcribe.reading import audio_blocks, check_files

if TYPE_CHECKING:
    from ilt.asr.recogniser import Recogniser

__all__ = ["TranscribeOptions", "run_transcribe"]

DETECTORS = ("energy", "silero")

CUT = CutParams(max_duration=30.0, padding=0.1)
"""Pieces of a file: a pause as in the corpus, and less of it with the speech beside it, since more misleads models
that were trained on trimmed speech."""

GROUP = 1800 * RATE
"""Samples that are held in memory and decoded together: half an hour."""

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


@dataclass(frozen=True)
class Piece:
    """A part of a recording, in samples: first, behind the last; where speech begins and where it ends."""

    start: int
    end: int
    speech_start: int
    speech_end: int


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
    """Return the file that the transcript of one recording goes to; None: the terminal."""
    if options.output is None or (len(files) == 1 and not options.output.is_dir()):
        return options.output
    return options.output / (path.stem + SUFFIXES[options.form])


def _model(options: TranscribeOptions) -> tuple[Lineage, RecogniserParams]:
    """Return the lineage of the model, and the parameters that it runs with.

    A model from outside takes its whole context, as it was trained to, unless its export says otherwise.
    """
    if options.model is None:
        params = load_params()
        iteration = options.iteration or ordered_iterations(params)[-1]
        return read_lineage(paths.lineage(iteration)), iteration_model(params, iteration)
    folder = Path(options.model)
    context: Literal["full", "batch"] = "full"
    record = folder / RECORD
    if record.is_file():
        exported = paths.read_json(record)
        if exported["form"] != "merged":
            raise IltError(f"--model {folder}: this is an exported {exported['form']}; a merged one is needed")
        context = exported["audio_context"]
    lineage = base_lineage(options.model, None)
    if not Path("params.yaml").is_file():
        return lineage, RecogniserParams(id=options.model, audio_context=context)
    changes = {"id": options.model, "revision": None, "family": None, "audio_context": context}
    return lineage, recogniser_params(load_params(), changes)


def make_detector(name: str) -> Callable[[Iterable[np.ndarray]], Activity]:
    """Return the function that finds speech in blocks of samples, by one of `DETECTORS`."""
    if name == "energy":
        return loud_activity
    voice = VoiceActivity("--vad silero")
    return lambda blocks: voice.activity(blocks, CUT.threshold)


def cut_pieces(activity: Activity, limit: float) -> list[Piece]:
    """Cut a recording into pieces of at most `limit` seconds that hold all speech and do not overlap.

    Some of the pause goes with the speech beside it; pieces of speech without a pause meet where it is quietest.
    """
    frame, padding = activity.frame, round(CUT.padding * RATE)
    room = int((limit * RATE - 2 * padding) / frame)
    spans = [
        (start * frame, min(stop * frame, activity.samples))
        for start, stop in speech_spans(activity.speech, activity.loudness, CUT.pause * RATE / frame, room)
    ]
    middles = [(stop + start) // 2 for (_, stop), (start, _) in pairwise(spans)]
    bounds = pairwise([0, *middles, activity.samples] if spans else [])
    return [
        Piece(max(first, start - padding), min(last, stop + padding), start, stop)
        for (start, stop), (first, last) in zip(spans, bounds, strict=True)
    ]


def _samples(path: Path, pieces: list[Piece]) -> Iterator[np.ndarray]:
    """Yield the samples of each piece of a file, in order; one piece and one block are held at a time."""
    held, offset = np.empty(0, np.float32), 0
    blocks = audio_blocks(path)
    for piece in pieces:
        while True:
            skipped = min(max(0, piece.start - offset), len(held))
            held, offset = held[skipped:], offset + skipped
            if offset + len(held) >= piece.end or (block := next(blocks, None)) is None:
                break
            held = np.concatenate([held, block])
        samples = held[piece.start - offset : piece.end - offset]
        yield np.pad(samples, (0, max(0, SHORTEST - len(samples))))


def _groups(path: Path, pieces: list[Piece]) -> Iterator[list[tuple[Piece, np.ndarray]]]:
    """Yield pieces with their samples, in groups of at most `GROUP` samples."""
    group: list[tuple[Piece, np.ndarray]] = []
    length = 0
    for piece, samples in zip(pieces, _samples(path, pieces), strict=True):
        if group and length + len(samples) > GROUP:
            yield group
            group, length = [], 0
        group.append((piece, samples))
        length += len(samples)
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
    hypotheses = transcribe_table(recogniser, rows, store, Decoding(Batching(batch)), what=what)
    columns = hypotheses.select("text", "avg_logprob", "no_speech_prob", "finished").iter_rows()
    return [
        Segment(_seconds(piece.speech_start), _seconds(piece.speech_end), *values)
        for (piece, _), values in zip(group, columns, strict=True)
    ]


def _seconds(samples: int) -> float:
    return round(samples / RATE, 2)


def run_transcribe(files: list[Path], options: TranscribeOptions) -> None:
    """Transcribe files, each to the output when it is done."""
    _check(files, options)
    from ilt.asr.families import load_recogniser

    lineage, model = _model(options)
    check_languages([options.language], known_languages(model.id, model.revision), model.languages, model.id)
    detect = make_detector(options.detector)
    recogniser = load_recogniser(lineage, model)
    known = lineage.adapter_languages
    if known and options.language not in known:
        print(
            f"no adapter for {options.language} in this model (there are {', '.join(known)}): it is decoded with "
            "what all languages share",
            file=sys.stderr,
        )
    extractor = recogniser.extractor
    limit = min(CUT.max_duration, recogniser.max_frames * extractor.hop_length / extractor.sampling_rate)
    for path in files:
        activity = detect(audio_blocks(path))
        pieces = cut_pieces(activity, limit)
        segments: list[Segment] = []
        for group in _groups(path, pieces):
            at = f" from {_seconds(group[0][0].start):.0f} s" if segments else ""
            segments += _decode(group, recogniser, options.language, model.decode_batch, path.name + at)
        duration = _seconds(activity.samples)
        transcript = Transcript(str(path), options.language, duration, recogniser.lineage.hash, segments)
        if not segments:
            print(visible(f"{path}: no speech was found"), file=sys.stderr)
        _write(transcript, _target(path, files, options), options.form, header=len(files) > 1)


def _write(transcript: Transcript, target: Path | None, form: str, header: bool) -> None:
    """Write a transcript to its file, as the model wrote it, or to standard output, where it is `visible`.

    header: print the recording's name before a text.
    """
    if target is not None:
        with paths.replacing(target) as temporary:
            temporary.write_text(transcript.written(form), encoding="utf-8")
        return
    if header and form == "text":
        print(visible(f"# {transcript.file}"))
    sys.stdout.write(visible(transcript.written(form), lines=True))
    sys.stdout.flush()
