"""Survey of what a project is made for: the model, the corpus, the machine. Nothing is asked that can be read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ilt.asr.families import model_info
from ilt.asr.languages import known_languages
from ilt.asr.model_files import commit_of, context_seconds
from ilt.corpus.audio import audio_seconds
from ilt.corpus.sources import open_sources
from ilt.errors import IltError
from ilt.params import CorpusParams, ModelInfo, ModelParams

__all__ = ["CorpusSurvey", "ModelSurvey", "survey_corpus", "survey_model"]

SAMPLED = 200
"""Rows whose audio is opened for its length, where the source states none: enough for an estimate."""


@dataclass(frozen=True)
class ModelSurvey:
    """The base.

    revision:  of a hub model, its commit.
    seconds:   of audio that it takes at once.
    languages: codes that it knows; None where it can be told any.
    """

    id: str
    revision: str | None
    info: ModelInfo
    seconds: float
    languages: frozenset[str] | None


@dataclass
class CorpusSurvey:
    """Utterances and minutes by split, utterances by language. estimated: minutes follow from a sample."""

    utterances: Counter[str] = field(default_factory=Counter)
    minutes: dict[str, float] = field(default_factory=dict)
    languages: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    estimated: bool = False

    def unknown(self, known: frozenset[str] | None, aliases: dict[str, str]) -> list[str]:
        """Return the languages that the model does not know, and that nothing stands in for."""
        return [code for code in sorted(self.languages) if known is not None and aliases.get(code, code) not in known]


class _Sample:
    """At most `SAMPLED` rows, evenly spaced over all that were offered."""

    def __init__(self) -> None:
        self.rows: list[tuple[Path | bytes, float]] = []
        self._stride, self._offered = 1, 0

    def offer(self, row: tuple[Path | bytes, float]) -> None:
        if self._offered % self._stride == 0:
            self.rows.append(row)
            if len(self.rows) > SAMPLED:
                self.rows, self._stride = self.rows[::2], 2 * self._stride
        self._offered += 1


def survey_model(model: str, revision: str | None) -> ModelSurvey:
    """Read a model's small files; a folder becomes an absolute path. Raises IltError where it cannot be had."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        if revision:
            raise IltError("--revision is for a model of the hub; a folder is watched by its content")
        model_id, commit = str(folder.resolve()), None
    else:
        model_id, commit = model, commit_of(model, revision)
    info = model_info(ModelParams(id=model_id, revision=commit))
    return ModelSurvey(model_id, commit, info, context_seconds(model_id, commit), known_languages(model_id, commit))


def survey_corpus(params: CorpusParams) -> CorpusSurvey:
    """Count the rows of all sources. Raises IltError where a source cannot be read, or has no rows."""
    survey = CorpusSurvey()
    stated: dict[str, list[float]] = {}
    unstated: dict[str, _Sample] = {}
    for source in open_sources(params):
        for row in source.rows():
            split = row.split or "(no split)"
            survey.utterances[split] += 1
            survey.languages[row.language or "(no language)"] += 1
            if row.duration is not None:
                stated.setdefault(split, []).append(row.duration)
            elif row.audio is not None:
                unstated.setdefault(split, _Sample()).offer((row.audio, row.offset or 0.0))
    if not survey.utterances:
        raise IltError("the sources have no utterances; look at their paths")
    for split, count in survey.utterances.items():
        seconds = stated.get(split, []) + _measured(unstated[split].rows if split in unstated else [])
        if seconds:
            survey.minutes[split] = count * sum(seconds) / len(seconds) / 60
            survey.longest = max(survey.longest, *seconds)
        survey.estimated |= len(stated.get(split, [])) < count
    return survey


def _measured(sample: list[tuple[Path | bytes, float]]) -> list[float]:
    """Return the seconds of each audio of a sample that can be opened; `ilt validate` names those that cannot."""
    seconds = []
    for audio, offset in sample:
        try:
            seconds.append(max(0.0, audio_seconds(audio) - offset))
        except ValueError:
            continue
    return seconds
