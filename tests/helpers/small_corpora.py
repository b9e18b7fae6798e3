"""The same few utterances written as a corpus in each format, with whatever text, name or speaker a test wants."""

import csv
import io
import json
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from ilt.corpus.audio import RATE
from ilt.corpus.importing import read_corpus
from ilt.params import CorpusParams

FORMATS = ("nemo", "csv", "tsv", "common-voice", "kaldi", "mlc-slm", "huggingface", "save-to-disk")
"""`save-to-disk` is huggingface too, as Arrow."""

BY_LINE = ("tsv", "common-voice", "kaldi", "mlc-slm")
"""Formats in which a line is an utterance, so that no text can have a line feed."""

BY_TAB = ("tsv", "common-voice", "mlc-slm")
"""Formats in which tabs divide fields."""

NAMED = ("nemo", "csv", "tsv", "common-voice", "huggingface", "save-to-disk")
"""Formats that can do without ids."""


def noise(path, seed=0, seconds=1.0):
    """Write noise to a WAV; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    soundfile.write(path, samples.astype(np.float32), RATE)
    return path


def write_lines(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def _nemo(folder, rows):
    keys = {"name": "audio_filepath", "language": "lang"}
    lines = (json.dumps({keys.get(key, key): value for key, value in row.items()}) for row in rows)
    return {"format": "nemo", "path": str(write_lines(folder / "manifest.jsonl", *lines))}


def _table(folder, rows, delimiter, name):
    names = {"name": "audio"}
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, [names.get(key, key) for key in rows[0]], delimiter=delimiter)
    writer.writeheader()
    writer.writerows({names.get(key, key): value for key, value in row.items()} for row in rows)
    (folder / name).write_text(file.getvalue(), encoding="utf-8", newline="")
    return {"format": "table", "path": str(folder / name)}


def _common_voice(folder, rows):
    lines = ["client_id\tpath\tsentence\tlocale"]
    lines += ["\t".join(row.get(key, "") for key in ("speaker", "name", "text", "language")) for row in rows]
    write_lines(folder / "train.tsv", *lines)
    return {"format": "common-voice", "path": str(folder / "train.tsv"), "audio": str(folder), "split": "gold"}


def _kaldi(folder, rows):
    for name, key in (("wav.scp", "name"), ("text", "text"), ("utt2spk", "speaker"), ("utt2lang", "language")):
        write_lines(folder / name, *(f"{row['id']} {row[key]}" for row in rows if key in row))
    return {"format": "kaldi", "path": str(folder), "split": "gold"}


def _mlc_slm(folder, rows):
    for row in rows:
        write_lines((folder / row["name"]).with_suffix(".txt"), f"0\t1\t{row.get('speaker', 'O1')}\t{row['text']}")
    return {"format": "mlc-slm", "path": str(folder), "split": "gold", "language": rows[0]["language"]}


def _hugging_face(rows):
    audio = pa.array(
        [{"bytes": None, "path": row["name"]} for row in rows], pa.struct({"bytes": pa.binary(), "path": pa.string()})
    )
    return pa.table({"audio": audio} | {key: [row[key] for row in rows] for key in rows[0] if key != "name"})


def write_corpus(kind, folder, rows):
    """Write rows in a format and their audio; return the entry of `corpus.sources`.

    rows: dictionaries with `name` (of the audio, relative) and of `id`, `text`, `speaker`, `language` and `split`
    what they have; formats that have no splits take the first row's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        noise(folder / row["name"], zlib.crc32(f"{folder.name}/{row['name']}".encode()))
    if kind == "nemo":
        return _nemo(folder, rows)
    if kind in ("csv", "tsv"):
        return _table(folder, rows, {"csv": ",", "tsv": "\t"}[kind], f"t.{kind}")
    if kind in ("common-voice", "kaldi", "mlc-slm"):
        return {"common-voice": _common_voice, "kaldi": _kaldi, "mlc-slm": _mlc_slm}[kind](folder, rows)
    table = _hugging_face(rows)
    if kind == "huggingface":
        pq.write_table(table, folder / "data.parquet")
    else:
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}), encoding="utf-8")
        with pa.OSFile(str(folder / "data.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    return {"format": "huggingface", "path": str(folder)}


def utterance(name="a.wav", text="two six", **more):
    """Return a row for `write_corpus`: of English gold, with the name as its id."""
    row = {
        "id": Path(name).stem,
        "name": name,
        "text": text,
        "speaker": "ann",
        "language": "en",
        "split": "gold",
        **more,
    }
    return {key: value for key, value in row.items() if value is not None}


def read_sources(*sources, longest=30.0, languages=frozenset({"en", "pt"}), **more):
    """Import entries of `corpus.sources` as the stage corpus does."""
    params = CorpusParams.model_validate({"source": "sources", "sources": list(sources), **more})
    return read_corpus(params, longest, languages)


def problems_of(imported):
    """Return file name and line, id and text of each problem."""
    return [(problem.where.rsplit("/", 1)[-1], problem.id, problem.what) for problem in imported.problems]


def assert_problems(imported, expected):
    """Assert that problems have these places and ids, and texts that hold these parts."""
    problems = problems_of(imported)
    assert [(where, key) for where, key, _ in problems] == [(where, key) for where, key, _ in expected]
    for (_, _, what), (_, _, part) in zip(problems, expected, strict=True):
        assert part in what
