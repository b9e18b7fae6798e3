"""The same utterances written as a corpus in every format that can be imported."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

RATE = 16_000
FOLDERS = {"en": "English/American", "pt": "Portuguese", "de": "German", "es": "Spanish", "ar": "Arabic"}
TAKEN = {"gold": "train", "pool": "other", "dev": "dev", "test": "test"}
"""Names of the splits in corpora whose own names differ."""
SPLITS = {name: split for split, name in TAKEN.items()}

Sources = list[dict[str, Any]]


@dataclass(frozen=True)
class Utterance:
    """One utterance: a stretch of a conversation, from `start` (samples), and the same as a clip of its own.

    clip: mp3. samples: 16-bit, what the clip decodes to.
    """

    language: str
    split: str
    text: str
    start: int
    samples: np.ndarray
    clip: bytes

    @property
    def folder(self) -> str:
        return FOLDERS[self.language]

    @property
    def record(self) -> str:
        return f"{self.folder.replace('/', '-')}-{self.split}"

    @property
    def speaker(self) -> str:
        return f"{self.record}-O1"

    @property
    def times(self) -> tuple[float, float]:
        return self.start / RATE, (self.start + len(self.samples)) / RATE

    @property
    def id(self) -> str:
        """The id that MLC-SLM's baseline makes of place and time; the other formats can have any id."""
        return "-".join([self.speaker, *(f"{int(round(time, 2) * 100):06d}" for time in self.times)])


def utterances(spoken: Iterable[tuple[str, str, str, np.ndarray]]) -> list[Utterance]:
    """Return utterances from (language, split, text, float32 samples), half a second apart within a conversation."""
    result, ends = [], dict[tuple[str, str], int]()
    for language, split, text, samples in spoken:
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, RATE, format="MP3")
        with soundfile.SoundFile(io.BytesIO(buffer.getvalue())) as file:
            compressed = file.read(dtype="float32")  # soundfile.read seeks first, which changes the last bit
        decoded = np.clip(np.round(compressed * 32768), -32768, 32767).astype(np.int16)
        start = ends.get((language, split), 0) + RATE // 2
        ends[language, split] = start + len(decoded)
        result.append(Utterance(language, split, text, start, decoded, buffer.getvalue()))
    return result


def _conversations(rows: list[Utterance]) -> Iterable[tuple[Utterance, list[Utterance], np.ndarray]]:
    """Yield the first utterance, all utterances and the whole audio of each conversation."""
    for _, group in groupby(sorted(rows, key=lambda u: (u.record, u.start)), key=lambda u: u.record):
        parts = list(group)
        whole = np.zeros(parts[-1].start + len(parts[-1].samples) + RATE // 2, np.int16)
        for part in parts:
            whole[part.start : part.start + len(part.samples)] = part.samples
        yield parts[0], parts, whole


def _clips(folder: Path, rows: list[Utterance], suffix: str = "flac") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for u in rows:
        soundfile.write(folder / f"{u.id}.{suffix}", u.samples, RATE)


def _write(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def nemo(folder: Path, rows: list[Utterance]) -> Sources:
    _clips(folder / "clips", rows)
    _write(folder / "manifest.jsonl", (
        json.dumps({
            "audio_filepath": f"clips/{u.id}.flac", "duration": len(u.samples) / RATE, "text": u.text,
            "lang": u.language, "speaker": u.speaker, "split": u.split, "id": u.id,
        }, ensure_ascii=False) for u in rows
    ))  # fmt: skip
    return [{"format": "nemo", "path": f"{folder}/manifest.jsonl"}]


def _long(folder: Path, rows: list[Utterance]) -> None:
    for first, _, whole in _conversations(rows):
        path = folder / f"{first.record}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, whole, RATE)


def nemo_offsets(folder: Path, rows: list[Utterance]) -> Sources:
    _long(folder, rows)
    _write(folder / "manifest.jsonl", (
        json.dumps({
            "audio_filepath": f"{u.record}.wav", "offset": u.start / RATE, "duration": len(u.samples) / RATE,
            "text": u.text, "language": u.language, "lang": u.language, "speaker": u.speaker, "id": u.id,
            "split": TAKEN[u.split],
        }, ensure_ascii=False) for u in rows
    ))  # fmt: skip
    return [{"format": "nemo", "path": f"{folder}/manifest.jsonl", "split": SPLITS}]


def _kaldi(folder: Path, rows: list[Utterance], segments: bool) -> Sources:
    sources = []
    for split in TAKEN:
        own, data = [u for u in rows if u.split == split], folder / split
        if segments:
            _long(folder / "wav", own)
            records = sorted({u.record for u in own})
            _write(data / "wav.scp", (f"{record} ../wav/{record}.wav" for record in records))
            _write(data / "segments", (f"{u.id} {u.record} {u.times[0]} {u.times[1]}" for u in own))
        else:
            _clips(data / "wav", own, "wav")
            _write(data / "wav.scp", (f"{u.id} wav/{u.id}.wav" for u in own))
        _write(data / "text", (f"{u.id} {u.text}" for u in own))
        _write(data / "utt2spk", (f"{u.id} {u.speaker}" for u in own))
        _write(data / "utt2lang", (f"{u.id} {u.folder.split('/')[0]}" for u in own))
        languages = {folder.split("/")[0]: code for code, folder in FOLDERS.items()}
        sources.append({"format": "kaldi", "path": str(data), "split": split, "language": languages})
    return sources


def kaldi(folder: Path, rows: list[Utterance]) -> Sources:
    return _kaldi(folder, rows, segments=False)


def kaldi_segments(folder: Path, rows: list[Utterance]) -> Sources:
    return _kaldi(folder, rows, segments=True)


def common_voice(folder: Path, rows: list[Utterance]) -> Sources:
    (folder / "clips").mkdir(parents=True)
    header = ["client_id", "path", "sentence_id", "sentence", "up_votes", "down_votes", "locale"]
    for split, name in TAKEN.items():
        own = [u for u in rows if u.split == split]
        for u in own:
            (folder / "clips" / f"{u.id}.mp3").write_bytes(u.clip)
        lines = ([u.speaker, f"{u.id}.mp3", "0", u.text, "2", "0", f"{u.language}-XX"] for u in own)
        _write(folder / f"{name}.tsv", ("\t".join(line) for line in [header, *lines]))
    languages = {f"{code}-XX": code for code in FOLDERS}
    return [{"format": "common-voice", "path": str(folder), "split": SPLITS, "language": languages}]


def mlc_slm(folder: Path, rows: list[Utterance]) -> Sources:
    for first, parts, whole in _conversations(rows):
        place = folder / first.split / first.folder
        place.mkdir(parents=True, exist_ok=True)
        soundfile.write(place / f"{first.split}.wav", whole, RATE)
        lines = (f"{u.times[0]}\t{u.times[1]}\tO1\t{u.text}" for u in parts)
        _write(place / f"{first.split}.txt", lines)
    known = {"Arabic": "ar"}
    return [{"format": "mlc-slm", "path": f"{folder}/{split}", "split": split, "language": known} for split in TAKEN]


def _audio(u: Utterance) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, u.samples, RATE, format="WAV")
    return buffer.getvalue()


def _parquet(folder: Path, rows: list[Utterance], embedded: bool) -> Sources:
    data = folder / "data"
    data.mkdir(parents=True)
    if not embedded:
        _clips(data, rows)
    for split, name in TAKEN.items():
        own = [u for u in rows if u.split == split]
        for number in range(2):
            part = own[number::2]
            table = pa.table({
                "uid": [u.id for u in part],
                "audio": pa.array(
                    [{"bytes": _audio(u) if embedded else None, "path": f"{u.id}.flac"} for u in part],
                    pa.struct({"bytes": pa.binary(), "path": pa.string()}),
                ),
                "transcription": [u.text for u in part],
                "speaker_id": [u.speaker for u in part],
                "lang": [u.language for u in part],
            })  # fmt: skip
            pq.write_table(table, data / f"{name}-{number:05d}-of-00002.parquet")
    columns = {"id": "uid", "text": "transcription", "speaker": "speaker_id", "language": "lang"}
    return [{"format": "huggingface", "path": str(folder), "split": SPLITS, "columns": columns}]


def parquet_bytes(folder: Path, rows: list[Utterance]) -> Sources:
    return _parquet(folder, rows, embedded=True)


def parquet_paths(folder: Path, rows: list[Utterance]) -> Sources:
    return _parquet(folder, rows, embedded=False)


def save_to_disk(folder: Path, rows: list[Utterance]) -> Sources:
    import datasets

    datasets.disable_progress_bars()
    _clips(folder / "clips", rows)
    parts = {}
    for split, name in TAKEN.items():
        own = [u for u in rows if u.split == split]
        part = datasets.Dataset.from_dict({
            "id": [u.id for u in own], "text": [u.text for u in own], "speaker": [u.speaker for u in own],
            "language": [u.language for u in own], "audio": [f"{folder}/clips/{u.id}.flac" for u in own],
        })  # fmt: skip
        parts[name] = part.cast_column("audio", datasets.Audio())
    datasets.DatasetDict(parts).save_to_disk(str(folder / "saved"))
    return [{"format": "huggingface", "path": f"{folder}/saved", "split": SPLITS}]


def _delimited(folder: Path, rows: list[Utterance], delimiter: str, name: str) -> Sources:
    _clips(folder / "clips", rows)
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["utterance", "file", "said", "who", "tongue", "set"])
        writer.writerows([u.id, f"{u.id}.flac", u.text, u.speaker, u.language, TAKEN[u.split]] for u in rows)
    columns = {
        "id": "utterance", "audio": "file", "text": "said", "speaker": "who", "language": "tongue",
        "split": "set",
    }  # fmt: skip
    path, audio = f"{folder}/{name}", f"{folder}/clips"
    return [{"format": "table", "path": path, "audio": audio, "columns": columns, "split": SPLITS}]


def table_csv(folder: Path, rows: list[Utterance]) -> Sources:
    return _delimited(folder, rows, ",", "corpus.csv")


def table_tsv(folder: Path, rows: list[Utterance]) -> Sources:
    return _delimited(folder, rows, "\t", "corpus.tsv")


LAYOUTS: dict[str, tuple[str, Callable[[Path, list[Utterance]], Sources]]] = {
    "nemo": ("NeMo manifest, FLAC clips", nemo),
    "nemo-offsets": ("NeMo manifest, offsets into long WAVs", nemo_offsets),
    "kaldi": ("Kaldi folder, a WAV an utterance", kaldi),
    "kaldi-segments": ("Kaldi folder, segments of long WAVs", kaldi_segments),
    "common-voice": ("Common Voice TSV, mp3 clips", common_voice),
    "mlc-slm": ("MLC-SLM, long WAVs with .txt", mlc_slm),
    "parquet-bytes": ("Hugging Face Parquet shards, audio inside", parquet_bytes),
    "parquet-paths": ("Hugging Face Parquet shards, paths", parquet_paths),
    "save-to-disk": ("Hugging Face `save_to_disk`", save_to_disk),
    "csv": ("CSV, mapped columns", table_csv),
    "tsv": ("TSV, mapped columns", table_tsv),
}
"""By name, a description and the function that writes the layout and returns the value of `corpus.sources` for it."""
