"""Jobs of a training stage: one for all languages, or one for each."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ilt.asr.recogniser import Recogniser
from ilt.params import TrainParams
from ilt.training.data import TrainingData
from ilt.training.mixture import allocate_steps

__all__ = ["TrainJob", "split_by_language"]


@dataclass(frozen=True)
class TrainJob:
    """One training.

    load:       loads the model to adapt, when the job begins.
    params:     its seed is the job's own.
    folder:     where the adapter is saved.
    work:       folder of checkpoints, for a restart.
    log:        CSV to watch the training by, if any.
    language:   whose adapter it is; None: that of all languages.
    start_from: a LoRA to train on with; None: a fresh one.
    keep_best:  see `select_checkpoint`.
    """

    load: Callable[[], Recogniser]
    data: TrainingData
    params: TrainParams
    folder: Path
    work: Path
    log: Path | None = None
    language: str | None = None
    start_from: Path | None = None
    keep_best: bool = False


def split_by_language(
    job: TrainJob, total: int, temperature: float, load: Callable[[str], Recogniser]
) -> list[TrainJob]:
    """Return a job for each language that has gold, each with an adapter in `folder`/LANGUAGE.

    The `total` of steps is split by rows (`allocate_steps`), so that they are as many as with one adapter.
    load: loads the model that a language starts from.
    """
    parts = {language: job.data.of(language) for language in job.data.languages}
    rows = {language: len(data.gold) + len(data.pseudo) for language, data in parts.items()}
    steps = allocate_steps(total, rows, temperature)
    seeds = {language: job.params.seed ^ zlib.crc32(language.encode()) for language in parts}
    return [
        replace(
            job,
            load=partial(load, language),
            data=data,
            params=job.params.model_copy(update={"seed": seeds[language], "steps": steps[language], "epochs": None}),
            folder=job.folder / language,
            work=job.work / language,
            log=job.log and job.log.with_name(f"{job.log.stem}.{language}.csv"),
            language=language,
        )
        for language, data in parts.items()
    ]
