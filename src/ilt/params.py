"""The parameters: what params.yaml may say, checked, and resolved for each stage of each iteration.

A training stage's values are its section (`focus`, `feedback`, `fix`, ...) overlaid with what the iteration
says (`iterations.it2.fix`). The paper gives no values: every default is our own choice.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ilt.errors import IltError
from ilt.training.mixture import own_stages

__all__ = [
    "FIELDS",
    "ITERATION_STAGES",
    "SPLITS",
    "TRAINING_STAGES",
    "CorpusParams",
    "CorrectParams",
    "CutParams",
    "EvaluateParams",
    "LabelParams",
    "LanguageParams",
    "LoraParams",
    "MergeParams",
    "MixtureParams",
    "ModelParams",
    "Params",
    "ReportParams",
    "SelectParams",
    "SourceParams",
    "StopParams",
    "TrainParams",
    "check_model_files",
    "check_params",
    "load_params",
    "merged",
    "parse_yaml",
    "read_params",
    "read_yaml",
    "seed_and_normaliser",
    "validated",
]

SPLITS = ("gold", "pool", "dev", "test", "retention", "replay")
"""gold: labelled, trained on. pool: unlabelled. dev: calibration and checkpoint choice. test: only scored.
retention: only scored, of the domain that the base comes from. replay: labelled, of that domain, never
scored; trained on where `mixture.replay_share` says so."""

TRAINING_STAGES = ("focus", "feedback", "fix")
ITERATION_STAGES = ("focus", "label", "select", "feedback", "correct", "fix", "evaluate")

S = TypeVar("S", bound=BaseModel)

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelParams(_Section):
    """The pretrained model. `id` is a local folder or a hub id (then `revision` is a commit or tag).

    files: what DVC watches for changes: the folder, or anything tracked for a hub id.
    prompts: for a model that takes prompts (Qwen2-Audio), by language code, and `default` for all others;
    `{code}` and `{language}` stand for the language's code and English name. None is needed.
    attention: auto is SDPA on a GPU, and eager on a CPU, where it is faster at the short contexts seen here.
    decode_batch, decode_batch_seconds: how much is decoded at once: so many utterances, and at most so many
    seconds of audio, padding included (None: any).
    workers: processes that prepare features ahead of the model; None: four on a GPU, none on a CPU.
    max_chars_per_second: where decoding stops at the latest; hardly anybody speaks so fast, but a model that
    has lost the thread goes on until its context is full. None: only the context ends it.
    languages: what a language is to be taken for; params.yaml says this as `languages.CODE.as`, and
    `Params.recogniser_model` puts it here.
    """

    id: str
    files: str
    revision: str | None = None
    audio_context: Literal["full", "batch"] = "batch"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str = "auto"
    attention: Literal["auto", "eager", "sdpa"] = "auto"
    decode_batch: Count = 64
    decode_batch_seconds: Positive | None = None
    workers: Annotated[int, Field(ge=0)] | None = None
    max_chars_per_second: Annotated[float, Field(gt=0)] | None = 32.0
    feature_cache_mb: Annotated[int, Field(ge=0)] = 4096
    prompts: dict[str, str] = {}
    languages: dict[str, str] = {}


class LanguageParams(_Section):
    """What is said of one language.

    as:   the language that the model is to take it for; None: itself.
    from: the iteration from which its rows take part; None: from the start, the base included.
    """

    model_config = ConfigDict(populate_by_name=True)

    as_: Annotated[str | None, Field(alias="as", min_length=1)] = None
    from_: Annotated[str | None, Field(alias="from", min_length=1)] = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.as_ is None and self.from_ is None:
            raise ValueError(
                "say as: CODE (what it is taken for), from: ITERATION (where it begins), or both"
            )
        return self


class DomainParams(_Section):
    """One domain of the demo corpus; see docs/demo-corpus.md."""

    patterns: list[Literal["digits", "number", "time", "date", "amount", "order"]] = Field(min_length=1)
    accents: Literal["source", "target"]
    telephone: Share = 0.0
    noise_snr: tuple[float, float] | None = None
    babble_snr: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _from_low_to_high(self) -> Self:
        for name in ("noise_snr", "babble_snr"):
            bounds = getattr(self, name)
            if bounds and bounds[0] > bounds[1]:
                raise ValueError(f"{name} runs from low to high, got {list(bounds)}")
        return self


class DemoParams(_Section):
    """The demo corpus: utterances per language in each split, and its two domains.

    strays: share of the pool that is no use, as in a pool that was found and not made: another language than
            it is filed under, somebody else talking as loudly, or speech drowned in noise.
    """

    languages: list[str] = Field(min_length=1)
    gold: Count
    pool: Count
    dev: Count
    test: Count
    retention: Annotated[int, Field(ge=0)]
    replay: Annotated[int, Field(ge=0)] = 0
    strays: Annotated[float, Field(ge=0, lt=1)] = 0.0
    source: DomainParams
    target: DomainParams


FIELDS = ("id", "audio", "text", "speaker", "language", "split", "offset", "duration")
"""What a column of a table of utterances can be mapped to."""

Names = str | dict[str, str | None] | None


class SourceParams(_Section):
    """One corpus on disk (or on the hub); see docs/corpora.md.

    split, language: one for all rows, or a map from the source's own names to ours (null leaves rows out).
    audio:           folder where relative audio paths start; the formats have defaults.
    columns:         of table and huggingface: by field (`FIELDS`), the column that holds it.
    delimiter:       of table; null: what the suffix says.
    prefix:          put before ids and speakers, where two sources use the same ones for others.
    subset, revision: of a dataset on the hub.
    """

    format: Literal["nemo", "kaldi", "common-voice", "mlc-slm", "huggingface", "table"]
    path: str = Field(min_length=1)
    split: Names = None
    language: Names = None
    audio: str | None = None
    columns: dict[str, str] = {}
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    prefix: str = ""
    subset: str | None = None
    revision: str | None = None

    @model_validator(mode="after")
    def _fits_its_format(self) -> Self:
        given = self.split.values() if isinstance(self.split, dict) else [self.split]
        for split in given:
            if split is not None and split not in SPLITS:
                raise ValueError(f"split: there is no {split!r}; there are {', '.join(SPLITS)}")
        if unknown := sorted(set(self.columns) - set(FIELDS)):
            raise ValueError(f"columns: there is no {unknown[0]!r}; there are {', '.join(FIELDS)}")
        for name, formats in {
            "columns": ("table", "huggingface"),
            "delimiter": ("table",),
            "subset": ("huggingface",),
            "revision": ("huggingface",),
            "audio": ("nemo", "kaldi", "common-voice", "table"),
        }.items():
            if getattr(self, name) and self.format not in formats:
                raise ValueError(f"{name} is for {' and '.join(formats)}, not for {self.format}")
        return self


class CutParams(_Section):
    """How recordings of the pool that are too long are cut; see `ilt.corpus.cuts`.

    method:       none: they are a problem. vad: by voice activity (Silero, extra `vad`).
    max_duration: seconds, padding included; never more than the model hears at once.
    threshold:    probability from which a frame is speech.
    pause:        seconds without speech that end a cut.
    padding:      seconds kept on both sides.
    """

    method: Literal["none", "vad"] = "none"
    max_duration: Positive = 30.0
    threshold: Annotated[float, Field(gt=0.15, lt=1)] = 0.5
    pause: Positive = 0.5
    padding: Annotated[float, Field(ge=0)] = 0.2


class CorpusParams(_Section):
    """Where the utterances come from.

    shared_speakers: whether a speaker may be in gold, pool or replay and also in dev or test.
    """

    source: Literal["demo", "manifest", "sources"] = "demo"
    manifest: str | None = None
    sources: list[SourceParams] = []
    pool_reference: str | None = None
    on_invalid: Literal["fail", "quarantine"] = "fail"
    shared_speakers: Literal["fail", "allow"] = "fail"
    max_duration: Positive | None = None
    min_duration: Positive = 0.1
    cut: CutParams = CutParams()
    demo: DemoParams

    @model_validator(mode="after")
    def _needs_manifest(self) -> Self:
        if self.source == "manifest" and not self.manifest:
            raise ValueError("corpus.source=manifest needs corpus.manifest=PATH of a JSONL manifest")
        if self.source == "sources" and not self.sources:
            raise ValueError("corpus.source=sources needs corpus.sources=[{format: ..., path: ...}, ...]")
        return self


class AdapterParams(_Section):
    """How stages build on one another.

    merge_and_reset: each stage trains a fresh LoRA over everything before it, merged (ILT).
    continue:        the same LoRA is trained on and on, through all stages.
    single:          one LoRA on gold alone, with as many optimiser steps as all stages together.
    full:            the same with all weights of the model trained, in place of a LoRA.

    Which languages an adapter is for; docs/languages.md says more.
    shared:              one for all of them.
    per_language:        each language has adapters of its own, in every stage.
    shared+per_language: focus and feedback train shared ones, fix one for each language over them.
    """

    mode: Literal["merge_and_reset", "continue", "single", "full"] = "merge_and_reset"
    scope: Literal["shared", "per_language", "shared+per_language"] = "shared"

    @model_validator(mode="after")
    def _experts_are_merged(self) -> Self:
        if self.scope != "shared" and self.mode != "merge_and_reset":
            raise ValueError(
                f"scope: {self.scope} is for mode: merge_and_reset; with mode: {self.mode}, say scope: shared"
            )
        return self


class MixtureParams(_Section):
    """What a batch is made of, beside `gold_share`.

    temperature:  languages are drawn with probability proportional to n^(1/temperature), n: their rows, among
                  gold and among pseudo-labels. 1: as they are; large: alike.
    replay_share: share of each batch drawn from the split `replay`; gold and pseudo-labels share the rest.
    """

    temperature: Positive = 1.0
    replay_share: Annotated[float, Field(ge=0, lt=1)] = 0.0


class MergeParams(_Section):
    """How adapters are merged.

    scale: what the update of each adapter is multiplied by when its stage ends, so that the weights are
           base + scale * (sum of the adapters): an interpolation with the base where it is below 1.
    """

    scale: Annotated[float, Field(gt=0, le=1)] = 1.0


class LoraParams(_Section):
    """LoRA (Hu et al. 2021, arXiv 2106.09685), as PEFT takes it; alpha null means twice the rank.

    target_modules: names of linear layers; a model takes those that it has.
    encoder:        whether the layers that hear get one too (Whisper's encoder, Qwen2-Audio's audio tower).
    """

    r: Annotated[int, Field(ge=1, le=1024)]
    alpha: Positive | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: list[str] = Field(min_length=1)
    encoder: bool = True


class SpecAugmentParams(_Section):
    """What training does to features, anew each time an utterance is used.

    SpecAugment (Park et al. 2019, arXiv 1904.08779): masks per utterance and their greatest widths.
    speed, formants: greatest relative change of tempo, and of the vocal tract's length (VTLP, Jaitly and
    Hinton 2013). channel: strength of a random channel (room, noise, equaliser, line), 0 to 1, see
    `ilt.training.channel`.
    """

    time_masks: Annotated[int, Field(ge=0)] = 2
    time_width: Annotated[int, Field(ge=1)] = 10
    frequency_masks: Annotated[int, Field(ge=0)] = 2
    frequency_width: Annotated[int, Field(ge=1)] = 12
    speed: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    formants: Annotated[float, Field(ge=0, le=0.3)] = 0.08
    channel: Share = 0.0


class TrainParams(_Section):
    """One training stage.

    steps | epochs: exactly one is set; an epoch is one pass over gold. 0 steps leave the stage out.
    gold_share:     share of each batch drawn from gold, the rest from selected labels.
    warmup:         share of the steps over which the learning rate rises; then it falls as a cosine.
    batch_seconds:  None: a batch is `batch_size` utterances. A number: as many utterances of like length as
                    fill so many seconds, each counted as long as the longest of its batch.
    gradient_checkpointing: keep no activations inside layers but compute them again on the way back: much
                    less memory for about a third more time.
    evaluations:    how often WER of generated text is measured on dev (and once before the first step); the
                    last adapter that is not clearly worse than the best is kept.
    evaluation_rows: of dev, at most so many are measured on.
    train_evaluation_rows: the same is measured on so many rows of gold, to see what is learnt by heart; it
                    decides nothing. 0: it is not measured.
    """

    lora: LoraParams
    learning_rate: Positive
    steps: Annotated[int, Field(ge=0)] | None = None
    epochs: Positive | None = None
    batch_size: Count
    batch_seconds: Positive | None = None
    gradient_accumulation: Count = 1
    gradient_checkpointing: bool = False
    gold_share: Share = 1.0
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    max_grad_norm: Positive = 1.0
    evaluations: Count = 2
    evaluation_rows: Count = 200
    train_evaluation_rows: Annotated[int, Field(ge=0)] = 60
    spec_augment: SpecAugmentParams

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("exactly one of steps and epochs must be set; make the other null")
        if self.epochs is not None and self.gold_share == 0:
            raise ValueError("an epoch is one pass over gold, of which gold_share 0 has none; say steps")
        return self


class LabelParams(_Section):
    """Decoding the pool.

    beams:           1 is greedy.
    perturb_speed, perturb_noise: the second decode hears speech stretched by this factor, with this much
                     Gaussian noise (in units of Whisper's scaled log-mel) added.
    """

    beams: Count = 1
    perturb_speed: Annotated[float, Field(gt=0.5, lt=2)] = 1.1
    perturb_noise: Annotated[float, Field(ge=0)] = 0.1
    relevance_neighbours: Count = 5


class SelectParams(_Section):
    """What is kept of the pseudo-labels.

    method:             calibrated | for comparison: logprob (best mean token log-probability), all (no
                        filter), oracle (true error, from the pool reference).
    keep:               at most this share of each language's rows.
    keep_by_language:   another share for some languages, by code.
    max_expected_error: nothing above it is kept,
    min_rows:           except that each language keeps its best rows up to this many, if not flagged.
    relevance_weight:   how much nearness to gold counts beside expected error in the ranking.
    """

    method: Literal["calibrated", "logprob", "all", "oracle"] = "calibrated"
    keep: Share
    keep_by_language: dict[str, Share] = {}
    max_expected_error: Share
    min_rows: Annotated[int, Field(ge=0)]
    relevance_weight: Annotated[float, Field(ge=0)]
    min_chars_per_second: Annotated[float, Field(ge=0)]
    max_chars_per_second: Positive
    max_compression_ratio: Positive
    max_no_speech_prob: Share


class CorrectParams(_Section):
    """Repair of labels; what is kept then is judged as in selection.

    enabled: False leaves the stage out: labels stay as they were selected.
    vote:    whether the decodes that there are vote; else the newest one holds.
    """

    enabled: bool = True
    vote: bool = True
    keep: Share
    keep_by_language: dict[str, Share] = {}
    max_expected_error: Share


class EvaluateParams(_Section):
    """Scoring."""

    normaliser: Literal["basic", "whisper", "mlc-slm", "none"] = "basic"
    bootstrap: Annotated[int, Field(ge=100)] = 2000


class StopParams(_Section):
    """When to stop: see `ilt.evaluation.stopping`.

    min_gain: the least gain (a fraction, 0.005 is half a point) that an iteration must bring for another to
              follow: where the 95 % interval of its gain does not lie above it, the iterations behind pass
              the model through. None: all iterations run.
    split:    where the gain is measured. Stopping by test would make the test error a little too good.
    """

    min_gain: Annotated[float, Field(ge=0, lt=1)] | None = None
    split: Literal["dev", "test"] = "dev"


class ReportParams(_Section):
    """The report. price_per_hour: of computing, in the currency you like; None: minutes alone are told."""

    price_per_hour: Positive | None = None


class Params(_Section):
    """The whole of params.yaml. `iterations` holds, by name, `prev` and overrides of the stages."""

    seed: Annotated[int, Field(ge=0)]
    model: ModelParams
    languages: dict[str, LanguageParams] = {}
    corpus: CorpusParams
    adapter: AdapterParams
    mixture: MixtureParams = MixtureParams()
    merge: MergeParams = MergeParams()
    focus: TrainParams
    feedback: TrainParams
    fix: TrainParams
    label: LabelParams
    select: SelectParams
    correct: CorrectParams
    evaluate: EvaluateParams
    stop: StopParams = StopParams()
    report: ReportParams = ReportParams()
    iterations: dict[str, dict[str, Any]]

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.model.languages:
            raise ValueError("model.languages: say languages.CODE.as instead, as languages: {pcm: {as: en}}")
        if self.adapter.mode == "full" and self.merge.scale != 1.0:
            raise ValueError("merge.scale is for adapters; with adapter.mode: full, say merge.scale: 1.0")
        mapped = {code for code, entry in self.languages.items() if entry.as_ is not None}
        chained = sorted(mapped & {str(entry.as_) for entry in self.languages.values()})
        if chained:
            raise ValueError(
                f"languages.{chained[0]}.as: another language is taken for {chained[0]!r} already"
            )
        return self

    @property
    def taken_for(self) -> dict[str, str]:
        """What each mapped language is taken for, by its code."""
        return {code: entry.as_ for code, entry in sorted(self.languages.items()) if entry.as_ is not None}

    @property
    def later_languages(self) -> list[list[str]]:
        """Languages that begin with an iteration, those of the first such iteration first."""
        begin = {
            name: sorted(code for code, entry in self.languages.items() if entry.from_ == name)
            for name in self.ordered_iterations()
        }
        return [codes for codes in begin.values() if codes]

    def absent(self, iteration: str) -> list[str]:
        """Languages that do not take part in an iteration, or in scoring the base (`base`), yet."""
        order = self.ordered_iterations()
        yet = order[order.index(iteration) + 1 :] if iteration != "base" else order
        return sorted(code for code, entry in self.languages.items() if entry.from_ in yet)

    @property
    def recogniser_model(self) -> ModelParams:
        """The model with what each mapped language is taken for: what a recogniser is loaded with."""
        return self.model.model_copy(update={"languages": self.taken_for})

    def taken_for_in(self, iteration: str) -> dict[str, str]:
        """`taken_for` of what takes part: a language that begins later changes nothing before that."""
        absent = self.absent(iteration)
        return {code: other for code, other in self.taken_for.items() if code not in absent}

    def stage(self, iteration: str, stage: str) -> _Section:
        """The resolved values of one stage of one iteration."""
        section: _Section = getattr(self, stage)
        override = self.iterations[iteration].get(stage) or {}
        if not override:
            return section
        values = merged(section.model_dump(), override)
        return validated(type(section), values, f"iterations.{iteration}.{stage}")

    def training(self, iteration: str, stage: str) -> TrainParams:
        """The resolved values of one training stage of one iteration."""
        section = self.stage(iteration, stage)
        assert isinstance(section, TrainParams)
        return section

    def budgets(self, iteration: str) -> dict[str, list[str]]:
        """The languages that have a budget of their own in an iteration, by stage."""
        found = {}
        for name in ("select", "correct"):
            section = self.stage(iteration, name)
            assert isinstance(section, SelectParams | CorrectParams)
            found[name] = sorted(section.keep_by_language)
        return found

    def ordered_iterations(self) -> list[str]:
        """Iteration names, from the first to the last."""
        following = {str(entry["prev"]): name for name, entry in self.iterations.items()}
        order, at = [], "base"
        while at in following:
            at = following[at]
            order.append(at)
        return order


def merged(values: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """`values` with `override` laid over it, section by section."""
    result = dict(values)
    for key, value in override.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    if override.get("epochs") is not None and "steps" not in override:
        result["steps"] = None
    if override.get("steps") is not None and "epochs" not in override:
        result["epochs"] = None
    return result


def validated(kind: type[S], values: Any, where: str = "", file: str = "params.yaml") -> S:
    """Values as a checked model. Raises IltError that names the file and, below `where`, each wrong key."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = []
        for detail in error.errors():
            name = ".".join(str(part) for part in ([where] if where else []) + list(detail["loc"]))
            given = detail["input"]
            what = detail["msg"].removeprefix("Value error, ")
            if detail["type"] == "extra_forbidden":
                what = "there is no such parameter; look at its neighbours for the right spelling"
                lines.append(f"  {name}: {what}")
            elif detail["type"] in ("missing", "value_error"):
                lines.append(f"  {name}: {what}")
            else:
                lines.append(f"  {name}: {what}, got {given!r}")
        raise IltError(f"{file} is not valid:\n" + "\n".join(lines)) from None


def _check_languages(params: Params) -> None:
    """What can be known of languages from the parameters alone; the stage intake knows the rest."""
    problems = [
        f"languages.{code}.from: there is no iteration {entry.from_!r}; there are "
        f"{', '.join(params.iterations)}"
        for code, entry in params.languages.items()
        if entry.from_ is not None and entry.from_ not in params.iterations
    ]
    demo = params.corpus.demo
    if params.corpus.source == "demo":
        for name in params.iterations if not problems else ():
            known = set(demo.languages) - set(params.absent(name))
            problems += [
                f"iterations.{name}: {where}.keep_by_language: {code!r} does not take part in {name}; "
                f"there are {', '.join(sorted(known))}"
                for where, codes in params.budgets(name).items()
                for code in codes
                if code not in known
            ]
            for stage in own_stages(params.adapter.scope):
                steps = params.training(name, stage).steps
                if steps and steps < len(known):
                    problems.append(
                        f"iterations.{name}.{stage}.steps: {steps} cannot be shared by the adapters of "
                        f"{len(known)} languages (adapter.scope: {params.adapter.scope}); say "
                        f"{len(known)} or more, or 0 to leave the stage out"
                    )
        if params.mixture.replay_share and not demo.replay:
            problems.append(
                "mixture.replay_share: there is nothing to replay; say corpus.demo.replay=N utterances per "
                "language too"
            )
    if problems:
        raise IltError("params.yaml is not valid:\n" + "\n".join(f"  {line}" for line in problems))


def _check_iterations(params: Params) -> None:
    problems = []
    if not params.iterations:
        problems.append("iterations: at least one is needed, for example it1: {prev: base}")
    for name, entry in params.iterations.items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name) or name == "base":
            problems.append(f"iterations.{name}: a name starts with a letter and is not `base`")
        if "prev" not in entry:
            problems.append(f"iterations.{name}.prev: missing; it names the iteration before, or base")
        elif not isinstance(entry["prev"], str):
            problems.append(f"iterations.{name}.prev: expected a name, got {entry['prev']!r}")
        elif entry["prev"] != "base" and entry["prev"] not in params.iterations:
            problems.append(f"iterations.{name}.prev: there is no iteration {entry['prev']!r}")
        problems += [
            f"iterations.{name}.{key}: expected prev or a stage ({', '.join(ITERATION_STAGES)})"
            for key in entry
            if key not in ("prev", *ITERATION_STAGES)
        ]
        problems += [
            f"iterations.{name}.{key}: expected parameters of the stage, as in {{keep: 0.5}}, got {value!r}"
            for key, value in entry.items()
            if key in ITERATION_STAGES and not isinstance(value, dict | None)
        ]
    if not problems and len(params.ordered_iterations()) != len(params.iterations):
        problems.append("iterations: they must form one chain that starts at base (each prev used once)")
    if problems:
        raise IltError("params.yaml is not valid:\n" + "\n".join(f"  {line}" for line in problems))


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml.

    Raises IltError that names each wrong key, with what was expected.
    """
    return check_params(read_params(path))


def read_params(path: Path = Path("params.yaml")) -> Any:
    """What params.yaml says, unchecked. Raises IltError where it is missing or not YAML."""
    return read_yaml(path, "run this in the root of the repository")


def seed_and_normaliser(path: Path = Path("params.yaml")) -> tuple[int, str]:
    """`seed` and `evaluate.normaliser`, or 1 and `basic` where there is no such file. Raises IltError."""
    if not path.is_file():
        return 1, "basic"
    params = load_params(path)
    return params.seed, params.evaluate.normaliser


def read_yaml(path: Path, lacking: str) -> Any:
    """What a YAML file says. Raises IltError where it is not YAML, or is missing: then it says `lacking`."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise IltError(f"{path} is missing; {lacking}") from None


def parse_yaml(text: str, where: str) -> Any:
    """What a text in YAML says, as DVC reads it: YAML 1.2, where `no` is a text and 2e-05 a number.

    Raises IltError, with the file or place `where`, for what is not YAML.
    """
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise IltError(f"{where} is not YAML: {error}") from None


def check_params(values: Any) -> Params:
    """The parameters that such values are. Raises IltError as `load_params` does."""
    params = validated(Params, values)
    _check_iterations(params)
    for name in params.iterations:
        for stage in ITERATION_STAGES:
            params.stage(name, stage)
    _check_languages(params)
    return params


def check_model_files(params: Params) -> None:
    """Raise IltError where the model is a folder that DVC does not watch: it could change unseen."""
    folder, watched = Path(params.model.id), Path(params.model.files)
    if folder.is_dir() and not folder.resolve().is_relative_to(watched.resolve()):
        raise IltError(
            f"model.files: {params.model.files} does not hold {params.model.id}, so that DVC does not notice "
            f"when the model changes; say model.files: {params.model.id}"
        )
