"""Train one LoRA over a merged lineage, so that a killed run resumes and ends with the same bytes."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from ilt.asr.batching import MemoryLimit, prefetched
from ilt.asr.device import is_out_of_memory
from ilt.asr.features import FeatureStore
from ilt.asr.lineage import FULL
from ilt.asr.recogniser import Recogniser
from ilt.errors import IltError
from ilt.evaluation.scoring import rate
from ilt.params import MixtureParams, TrainParams
from ilt.paths import read_json, replacing, write_json
from ilt.progress import progress
from ilt.training.adam import pack_adam, unpack_adam
from ilt.training.batches import Example, plan_batches
from ilt.training.specaugment import spec_augment

__all__ = ["Errors", "TrainResult", "kept", "learning_rate_at", "total_steps", "train_adapter"]

CHECKPOINT_EVERY = 40

CLEAR_ERRORS = 1.96
"""Standard errors from which on a difference is clear: those of a two-sided interval of 95 %."""

Errors = tuple[np.ndarray, np.ndarray]
"""Errors and reference units of each utterance, as `ilt.evaluation.scoring.frame_errors` counts them."""


@dataclass(frozen=True)
class TrainResult:
    """What a training stage reports. kept_error: error rate on dev of the adapter that was kept."""

    steps: int
    kept_step: int
    kept_error: float
    history: list[dict[str, float]]
    trainable: int


def total_steps(params: TrainParams, gold: int, seconds: float, replay_share: float = 0.0) -> int:
    """Optimiser steps of a stage; an epoch is one pass over `gold` examples, which last `seconds`."""
    if params.steps is not None:
        return params.steps
    assert params.epochs is not None
    epoch, batch = (gold, params.batch_size) if params.batch_seconds is None else (seconds, params.batch_seconds)
    share = max(params.gold_share, 1e-9) * (1 - replay_share)
    per_step = batch * params.gradient_accumulation * share
    return max(1, math.ceil(params.epochs * epoch / per_step))


def learning_rate_at(step: int, steps: int, params: TrainParams) -> float:
    """Linear warm-up, then a cosine to a tenth. `step` counts from 1."""
    assert params.learning_rate is not None
    warm = max(1.0, params.warmup * steps)
    if step <= warm:
        return params.learning_rate * step / warm
    share = (step - warm) / max(1.0, steps - warm)
    return params.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * share)))


def kept(measured: Sequence[Errors], keep_best: bool = False) -> int:
    """Which of the checkpoints is kept, from their errors on the same rows, in the order of training.

    The last that is not clearly worse than the best: whose error rate is not more than `CLEAR_ERRORS`
    standard errors of the paired difference, over utterances, above the least. So a small dev set does not
    throw away by chance what was learnt, and a stage that does clear harm leaves the model as it found it.
    After the rule of one standard error (Breiman et al. 1984, Classification and Regression Trees).
    keep_best: the best instead, for a training so long that it is expected to get worse.
    """
    rates = [rate(*errors) for errors in measured]
    best = int(np.argmin(rates))
    if keep_best:
        return best
    for number in range(len(measured) - 1, best, -1):
        difference = measured[number][0] - measured[best][0]
        deviation = float(difference.std() * np.sqrt(len(difference)) / max(1, measured[best][1].sum()))
        if rates[number] - rates[best] <= CLEAR_ERRORS * deviation:
            return number
    return best


def _with_lora(recogniser: Recogniser, params: TrainParams, start_from: Path | None, seed: int) -> Any:
    from peft import LoraConfig, PeftModel, get_peft_model

    torch.manual_seed(seed)
    model, lora = recogniser.model, params.lora
    if start_from is not None:
        return PeftModel.from_pretrained(model, str(start_from), is_trainable=True)  # type: ignore[arg-type]
    held = Counter(id(weight) for module in model.modules() for weight in module._parameters.values())
    linear = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    layers = {name for name, module in linear.items() if held[id(module.weight)] == 1}
    tied = {name.rpartition(".")[2] for name in linear.keys() - layers}
    if asked := sorted(set(lora.target_modules) & tied):
        raise IltError(
            f"lora.target_modules: {', '.join(asked)} of {recogniser.lineage.id} shares its weight with "
            "another module (an output layer with the embedding), which merging changes too: leave it out"
        )
    if not lora.encoder:
        layers = {name for name in layers if not name.startswith(recogniser.encoder_prefix)}
    there = {name.rpartition(".")[2] for name in layers}
    targets = sorted(set(lora.target_modules) & there)
    if not targets:
        raise IltError(
            f"lora.target_modules {lora.target_modules}: {recogniser.lineage.id} has no linear layer of such "
            f"a name; it has {', '.join(sorted(there))}"
        )
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha or 2 * lora.r,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=targets,
        exclude_modules=None if lora.encoder else rf"{re.escape(recogniser.encoder_prefix)}.*",
        # task_type stays unset: SEQ_2_SEQ_LM would pass input_ids, which Whisper does not take.
    )
    return get_peft_model(model, config)  # type: ignore[arg-type]


def _save_adapter(peft_model: Any, folder: Path, base: str) -> None:
    with replacing(folder) as temporary:
        peft_model.save_pretrained(str(temporary), safe_serialization=True)
        (temporary / "README.md").unlink(missing_ok=True)
        path = temporary / "adapter_config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = base
        config["target_modules"] = sorted(config["target_modules"])
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


class _AllWeights:
    """All weights of a model in training, with the face of PEFT's model that `train_adapter` uses."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        # What the model's authors froze (Whisper's sinusoids) stays frozen.
        self.start = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}

    def train(self) -> None:
        self.model.train()

    def eval(self) -> None:
        self.model.eval()

    def named_parameters(self) -> Any:
        return self.model.named_parameters()

    def save_pretrained(self, folder: str, safe_serialization: bool = True) -> None:  # noqa: ARG002
        """The differences to where the training started, as safetensors, and a config that says so."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        now = dict(self.model.named_parameters())
        changed = {name: (now[name].detach() - old).contiguous() for name, old in self.start.items()}
        save_file(changed, path / "adapter_model.safetensors")
        config = {"peft_type": FULL, "target_modules": []}
        (path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")


def _at_scale(evaluate: Callable[[Recogniser], Errors], scale: float) -> Callable[[Recogniser], Errors]:
    """`evaluate` of the model as it will be used: with this much of the adapter."""
    from peft.tuners.lora import LoraLayer

    def judged(recogniser: Recogniser) -> Errors:
        layers = [module for module in recogniser.model.modules() if isinstance(module, LoraLayer)]
        for layer in layers:
            layer.scale_layer(scale)
        try:
            return evaluate(recogniser)
        finally:
            for layer in layers:
                layer.unscale_layer()

    return judged


class _Checkpoint:
    """Adapter, optimiser state and history, in a folder that outlives the stage's outs."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.state, self.tensors = work / "state.json", work / "tensors.safetensors"
        self.kept = work / "kept"

    def save(
        self,
        step: int,
        history: list[dict[str, float]],
        measured: list[Errors],
        running: float,
        names: list[str],
        optimiser: Any,
    ) -> None:
        tensors = pack_adam(names, optimiser)
        with replacing(self.tensors) as temporary:
            save_file(tensors, temporary, {"step": str(step)})
        state = {
            "step": step,
            "history": history,
            "errors": [errors.tolist() for errors, _ in measured],
            "units": measured[0][1].tolist(),
            "running": running,
        }
        write_json(self.state, state)

    def load(self, names: list[str], optimiser: Any) -> tuple[int, list[dict[str, float]], list[Errors], float]:
        nothing: tuple[int, list[dict[str, float]], list[Errors], float] = (0, [], [], 0.0)
        if not self.state.is_file() or not self.tensors.is_file():
            return nothing
        state = read_json(self.state)
        if "units" not in state:
            return nothing  # of a version that kept other things
        from safetensors import safe_open

        with safe_open(self.tensors, "pt") as file:
            if file.metadata()["step"] != str(state["step"]):
                return nothing  # killed between the two files: start over rather than guess
        unpack_adam(load_file(self.tensors), names, optimiser, int(state["step"]))
        units = np.array(state["units"])
        counts = [(np.array(errors), units) for errors in state["errors"]]
        return int(state["step"]), list(state["history"]), counts, float(state["running"])


def _backward(
    recogniser: Recogniser,
    batch: Sequence[Example],
    features: Sequence[torch.Tensor],
    params: TrainParams,
    limit: MemoryLimit,
) -> float:
    """Add the gradients of one batch, in as many parts as memory asks for; its share of the step's loss.

    Parts weigh as many tokens as they have, so that the gradient is that of the whole batch.
    """
    languages, texts = [e.language for e in batch], [e.text for e in batch]
    total = 0.0
    for part in limit.parts([feature.shape[1] for feature in features]):
        loss = recogniser.loss(features[part], languages[part], texts[part], params.label_smoothing)
        if part != slice(0, len(batch)):
            tokens = recogniser.label_tokens(languages[part], texts[part])
            loss = loss * (tokens / recogniser.label_tokens(languages, texts))
        (loss / params.gradient_accumulation).backward()
        total += loss.item() / params.gradient_accumulation
    return total


def train_adapter(
    recogniser: Recogniser,
    gold: Sequence[Example],
    pseudo: Sequence[Example],
    store: FeatureStore,
    params: TrainParams,
    seed: int,
    evaluate: Callable[[Recogniser], Errors],
    folder: Path,
    work: Path,
    start_from: Path | None = None,
    workers: int = 0,
    train_error: Callable[[Recogniser], Errors] | None = None,
    log: Callable[[int, Mapping[str, float]], None] | None = None,
    full: bool = False,
    replay: Sequence[Example] = (),
    mixture: MixtureParams = MixtureParams(),  # noqa: B008  frozen
    scale: float = 1.0,
    keep_best: bool = False,
) -> TrainResult:
    """Train a LoRA and save the one that is `kept`, by `evaluate` (errors of generated text), to `folder`.

    The fresh LoRA, which changes nothing, is the first candidate.

    start_from: an adapter to train on with, instead of a fresh one. full: train all weights instead. work:
    where checkpoints lie. workers: processes that prepare features. train_error: measured where `evaluate`
    is, told in the history and else without effect. log: told the loss of each step, and all that is
    measured; first what a killed run left. replay, mixture: what else a batch is made of. scale: what the
    adapter will be used with (`merge.scale`), and is therefore judged with. keep_best: see `kept`. A batch
    that memory does not hold goes through in halves, with a message. Raises IltError for a loss that is not
    finite, and where memory does not even hold one utterance.
    """
    frame = recogniser.extractor.hop_length / recogniser.extractor.sampling_rate
    replay_share = mixture.replay_share if replay else 0.0
    seconds = frame * sum(store.frames[example.id] for example in gold)
    steps = total_steps(params, len(gold), seconds, replay_share)
    plan = plan_batches(
        gold,
        pseudo,
        store.frames,
        params.batch_size,
        steps * params.gradient_accumulation,
        params.gold_share,
        seed,
        params.batch_seconds and params.batch_seconds / frame,
        replay,
        replay_share,
        mixture.temperature,
    )
    peft_model = _AllWeights(recogniser.model) if full else _with_lora(recogniser, params, start_from, seed)
    trained = [(name, p) for name, p in peft_model.named_parameters() if p.requires_grad]
    names, parameters = [name for name, _ in trained], [p for _, p in trained]
    optimiser = torch.optim.AdamW(parameters, lr=0.0, weight_decay=params.weight_decay)
    if params.gradient_checkpointing:
        recogniser.model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    judged, heard_gold = evaluate, train_error or evaluate
    if scale != 1.0:
        judged, heard_gold = _at_scale(judged, scale), _at_scale(heard_gold, scale)
    checkpoint = _Checkpoint(work)
    done, history, errors, running = checkpoint.load(names, optimiser)
    marks = {round(steps * (n + 1) / params.evaluations) for n in range(params.evaluations)}

    def measured() -> dict[str, float]:
        peft_model.eval()
        errors.append(judged(recogniser))
        found = {"dev_error": round(rate(*errors[-1]), 6)}
        return found if train_error is None else {**found, "train_error": round(rate(*heard_gold(recogniser)), 6)}

    def tell(entry: dict[str, float]) -> None:
        if log is not None:
            log(int(entry["step"]), {name: value for name, value in entry.items() if name != "step"})

    if not done:
        # What the stage starts from is a candidate too: a stage must not leave a worse model behind.
        history = [{"step": 0, **measured()}]
        _save_adapter(peft_model, checkpoint.kept, recogniser.lineage.id)
    for entry in history:
        tell(entry)
    limit = MemoryLimit(
        "this stage's batch_size, batch_seconds or gradient_checkpointing would save the trying",
        "this stage's gradient_checkpointing: true or lora.encoder: false, model.dtype: bfloat16, shorter "
        "utterances (corpus.max_duration) or a smaller model need less",
    )

    def step_batches(step: int) -> list[list[Example]]:
        first = (step - 1) * params.gradient_accumulation
        return plan[first : first + params.gradient_accumulation]

    def step_features(step: int) -> list[list[torch.Tensor]]:
        """What is heard in a step, augmented: it follows from seed and step alone."""
        rng = np.random.default_rng([seed, step])
        heard = [[store[e.id] for e in batch] for batch in step_batches(step)]
        return [
            [
                spec_augment(one, params.spec_augment, rng, batch[number - 1], frame, recogniser.max_frames)
                for number, one in enumerate(batch)
            ]
            for batch in heard
        ]

    prepared = prefetched(step_features, range(done + 1, steps + 1), workers)
    with progress("train", steps, done) as advance:
        for step, features in zip(range(done + 1, steps + 1), prepared, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate_at(step, steps, params)
            peft_model.train()
            while True:
                torch.manual_seed(seed * 1_000_003 + step)  # LoRA dropout
                optimiser.zero_grad()
                try:
                    loss_value = 0.0
                    for batch, heard in zip(step_batches(step), features, strict=True):
                        loss_value += _backward(recogniser, batch, heard, params, limit)
                    break
                except RuntimeError as failure:
                    if not is_out_of_memory(failure):
                        raise
                limit.halve()
            if not math.isfinite(loss_value):
                raise IltError(
                    f"the loss is {loss_value} at step {step}: the training diverged; "
                    "lower learning_rate or look at the audio of this batch: "
                    + ", ".join(e.id for e in step_batches(step)[0][:4])
                )
            torch.nn.utils.clip_grad_norm_(parameters, params.max_grad_norm)
            optimiser.step()
            running += (loss_value - running) / min(step, 20)
            advance(f"loss {running:.3f}")
            entry = {"step": step, "loss": round(running, 6)}
            if step in marks:
                entry |= measured()
                history.append(entry)
                if kept(errors, keep_best) == len(errors) - 1:
                    _save_adapter(peft_model, checkpoint.kept, recogniser.lineage.id)
            tell(entry)
            if step in marks or step % CHECKPOINT_EVERY == 0:
                checkpoint.save(step, history, errors, running, names, optimiser)
    with replacing(folder) as temporary:
        shutil.copytree(checkpoint.kept, temporary)
    entry = history[kept(errors, keep_best)]
    return TrainResult(
        steps=steps,
        kept_step=int(entry["step"]),
        kept_error=entry["dev_error"],
        history=history,
        trainable=sum(p.numel() for p in parameters),
    )
