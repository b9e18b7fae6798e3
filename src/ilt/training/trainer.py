"""Trainer: runs the jobs of a stage. A killed job resumes and ends with the same bytes."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch

from ilt.asr.batching import MemoryLimit, prefetched
from ilt.asr.device import is_out_of_memory
from ilt.asr.features import FeatureStore
from ilt.errors import IltError
from ilt.evaluation.scoring import rate
from ilt.params import MixtureParams
from ilt.paths import replacing
from ilt.progress import progress
from ilt.training.averaging import WeightAverage
from ilt.training.batches import Composition, plan_batches
from ilt.training.checkpoint import Checkpoint
from ilt.training.data import Example
from ilt.training.full import AllWeights
from ilt.training.gradients import add_gradients
from ilt.training.jobs import TrainJob
from ilt.training.log import csv_log
from ilt.training.lora import add_lora, load_lora, save_adapter, scaled
from ilt.training.results import TrainResult
from ilt.training.schedule import averaging_steps, evaluation_steps, learning_rate_at, total_steps
from ilt.training.selection import Scorer, select_checkpoint
from ilt.training.specaugment import spec_augment

__all__ = ["Trainer"]

CHECKPOINT_EVERY = 40
"""Steps between two checkpoints, beside those at evaluations."""

LOSS_WINDOW = 20
"""Steps that the loss in logs and histories is a running mean over."""

SMALLER_BATCHES = "this stage's batch_size, batch_seconds or gradient_checkpointing would save the trying"
LESS_MEMORY = (
    "this stage's gradient_checkpointing: true or lora.encoder: false, model.dtype: bfloat16, shorter "
    "utterances (corpus.max_duration) or a smaller model need less"
)


@dataclass(frozen=True)
class Trainer:
    """What all trainings of a stage share.

    store:       features of all utterances.
    make_scorer: makes, of rows and their name (dev, gold), what measures a model on them.
    scale:       what adapters will be used with (`adapter.scale`), and are therefore measured with.
    full:        train all weights instead of a LoRA.
    workers:     processes that prepare features.
    """

    store: FeatureStore
    make_scorer: Callable[[pl.DataFrame, str], Scorer]
    mixture: MixtureParams = MixtureParams()  # noqa: RUF009 - frozen
    scale: float = 1.0
    full: bool = False
    workers: int = 0

    @property
    def frame(self) -> float:
        """Seconds between two frames."""
        return self.store.extractor.hop_length / self.store.extractor.sampling_rate

    def steps(self, job: TrainJob) -> int:
        """Return the optimiser steps of a job."""
        seconds = self.frame * sum(self.store.frames[example.id] for example in job.data.gold)
        replay_share = self.mixture.replay_share if job.data.replay else 0.0
        return total_steps(job.params, len(job.data.gold), seconds, replay_share)

    def train(self, job: TrainJob) -> TrainResult:
        """Train an adapter, and save the candidate that `select_checkpoint` keeps to the job's folder.

        A candidate is made at each evaluation; the first is the model as it was given, so that no stage has to
        leave a worse one behind. A batch that memory does not hold goes through in parts, with a message.
        Raises IltError for a loss that is not finite, and where memory does not hold one utterance.
        """
        return _Training(self, job).run()


class _Training:
    """One job under way: its model, its batches, and what was measured so far."""

    def __init__(self, trainer: Trainer, job: TrainJob) -> None:
        self.trainer, self.job, params = trainer, job, job.params
        self.steps = trainer.steps(job)
        self.batches = plan_batches(
            job.data,
            trainer.store.frames,
            Composition.of(params, trainer.mixture, trainer.frame),
            self.steps * params.gradient_accumulation,
            params.seed,
        )
        self.recogniser = job.load()
        self.model = self._trainable()
        trained = [(name, weight) for name, weight in self.model.named_parameters() if weight.requires_grad]
        self.weights = [weight for _, weight in trained]
        self.optimiser = torch.optim.AdamW(self.weights, lr=0.0, weight_decay=params.weight_decay)
        if params.gradient_checkpointing:
            self.recogniser.model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
        self.average = WeightAverage(self.weights, averaging_steps(self.steps, params.average))
        self.checkpoint = Checkpoint(job.work, [name for name, _ in trained], self.optimiser, self.average)
        self.state = self.checkpoint.load()
        self.score_dev = trainer.make_scorer(job.data.dev, "dev")
        sample = job.data.gold_sample
        self.score_gold = trainer.make_scorer(sample, "gold") if len(sample) else None
        self.limit = MemoryLimit(SMALLER_BATCHES, LESS_MEMORY)

    def _trainable(self) -> Any:
        """Return the model with what is trained: a fresh LoRA, the one to go on with, or all weights."""
        if self.trainer.full:
            return AllWeights(self.recogniser.model)
        if self.job.start_from is not None:
            return load_lora(self.recogniser, self.job.start_from)
        return add_lora(self.recogniser, self.job.params.lora, self.job.params.seed)

    def run(self) -> TrainResult:
        state, steps = self.state, self.steps
        if not state.step:
            self._evaluate({"step": 0})
        log = csv_log(self.job.log) if self.job.log else lambda _: None
        for entry in state.history:
            log(entry)
        evaluated = evaluation_steps(steps, self.job.params.evaluations)
        to_do = range(state.step + 1, steps + 1)
        prepared = prefetched(self._features, to_do, self.trainer.workers)
        with progress("train", steps, state.step) as advance:
            for step, features in zip(to_do, prepared, strict=True):
                loss = self._step(step, features)
                state.step = step
                state.loss += (loss - state.loss) / min(step, LOSS_WINDOW)
                advance(f"loss {state.loss:.3f}")
                entry = {"step": step, "loss": round(state.loss, 6)}
                if step in evaluated:
                    self._evaluate(entry)
                log(entry)
                if step in evaluated or step % CHECKPOINT_EVERY == 0:
                    self.checkpoint.save(state)
        return self._finish()

    def _step_batches(self, step: int) -> list[list[Example]]:
        each = self.job.params.gradient_accumulation
        return self.batches[(step - 1) * each : step * each]

    def _features(self, step: int) -> list[list[torch.Tensor]]:
        """Return the augmented features of a step: they follow from seed and step alone."""
        params, longest = self.job.params, self.recogniser.max_frames
        rng = np.random.default_rng([params.seed, step])
        clean = [[self.trainer.store[example.id] for example in batch] for batch in self._step_batches(step)]
        return [
            [
                # The utterance before it in the batch is its background.
                spec_augment(one, params.spec_augment, rng, batch[number - 1], self.trainer.frame, longest)
                for number, one in enumerate(batch)
            ]
            for batch in clean
        ]

    def _step(self, step: int, features: list[list[torch.Tensor]]) -> float:
        """Change the weights by one optimiser step; return its loss."""
        params, batches = self.job.params, self._step_batches(step)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate_at(step, self.steps, params)
        self.model.train()
        while True:
            torch.manual_seed(params.seed * 1_000_003 + step)  # LoRA dropout
            self.optimiser.zero_grad()
            try:
                loss = add_gradients(self.recogniser, batches, features, params.label_smoothing, self.limit)
                break
            except RuntimeError as failure:
                if not is_out_of_memory(failure):
                    raise
            self.limit.halve()
        if not math.isfinite(loss):
            raise IltError(
                f"the loss is {loss} at step {step}: the training diverged; lower learning_rate or look at the "
                "audio of this batch: " + ", ".join(example.id for example in batches[0][:4])
            )
        torch.nn.utils.clip_grad_norm_(self.weights, params.max_grad_norm)
        self.optimiser.step()
        self.average.update(step)
        return loss

    def _evaluate(self, entry: dict[str, float]) -> None:
        """Measure the candidate of a step into `entry` and the state; save it if it is the one to keep so far."""
        state = self.state
        self.model.eval()
        with self.average.applied(int(entry["step"])):
            with scaled(self.recogniser.model, self.trainer.scale):
                state.errors.append(self.score_dev(self.recogniser))
                entry["dev_error"] = round(rate(*state.errors[-1]), 6)
                if self.score_gold is not None:
                    on_gold = self.score_gold(self.recogniser)
                    entry["train_error"] = round(rate(*on_gold), 6)
                    state.gold_units = int(on_gold[1].sum())
            state.history.append(entry)
            if select_checkpoint(state.errors, self.job.keep_best) == len(state.errors) - 1:
                save_adapter(self.model, self.checkpoint.adapter, self.recogniser.lineage.id)

    def _finish(self) -> TrainResult:
        with replacing(self.job.folder) as temporary:
            shutil.copytree(self.checkpoint.adapter, temporary)
        kept = self.state.history[select_checkpoint(self.state.errors, self.job.keep_best)]
        return TrainResult(
            steps=self.steps,
            kept_step=int(kept["step"]),
            kept_dev_error=kept["dev_error"],
            history=self.state.history,
            trainable_parameters=sum(weight.numel() for weight in self.weights),
            dev_units=int(self.state.errors[0][1].sum()),
            gold_units=self.state.gold_units,
        )
