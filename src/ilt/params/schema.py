"""Schema of params.yaml. The paper gives no values: every default is this project's own choice, by measurement."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ilt.errors import IltError

__all__ = [
    "FIELDS",
    "ITERATION_STAGES",
    "LEAST_DEV",
    "SPLITS",
    "TRAINING_STAGES",
    "AdapterParams",
    "BaselineParams",
    "CorpusParams",
    "CorrectParams",
    "CutParams",
    "DemoParams",
    "DomainParams",
    "EvaluateParams",
    "LabelParams",
    "LanguageParams",
    "LoraParams",
    "MixtureParams",
    "ModelParams",
    "Params",
    "RecogniserParams",
    "ReportParams",
    "Section",
    "Seed",
    "SelectParams",
    "SourceParams",
    "SpecAugmentParams",
    "StopParams",
    "TrainParams",
    "validated",
]

SPLITS = ("gold", "pool", "dev", "test", "retention", "replay")
"""gold: labelled, trained on. pool: unlabelled. dev: calibration and checkpoint choice. test: only scored.
retention: only scored, of the domain that the base comes from. replay: labelled, of that domain, never
scored; trained on where `mixture.replay_share` says so."""

LEAST_DEV = 10
"""Rows of dev that expected errors can be calibrated on, at the very least; our own choice."""

TRAINING_STAGES = ("focus", "feedback", "fix")
ITERATION_STAGES = ("focus", "label", "select", "feedback", "correct", "fix", "predict", "evaluate")
"""Stages of an iteration that params.yaml can speak of, in their order."""

S = TypeVar("S", bound=BaseModel)


def _no_truth_value(value: Any) -> Any:
    """Return the value. Raises ValueError for true and false, which Python takes for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"expected a number, got {str(value).lower()}")
    return value


def _distinct(names: list[str]) -> list[str]:
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{twice!r} stands more than once; keep one")
    return names


Number = Annotated[float, BeforeValidator(_no_truth_value)]
Whole = Annotated[int, BeforeValidator(_no_truth_value)]
Share = Annotated[Number, Field(ge=0, le=1)]
Rows = Annotated[Whole, Field(ge=0, le=10_000_000)]
Batch = Annotated[Whole, Field(ge=1, le=65_536)]
Seconds = Annotated[Number, Field(ge=0.01, le=3600)]
Rate = Annotated[Number, Field(ge=1, le=1000)]
Seed = Annotated[Whole, Field(ge=0, lt=2**63)]
Decibels = Annotated[Number, Field(ge=-20, le=100)]
DistinctNames = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1), AfterValidator(_distinct)]


class Section(BaseModel):
    """A part of the parameters: frozen, and closed to unknown keys and to infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelParams(Section):
    """The pretrained model.

    id, revision:  a local folder, or a hub id with a commit or tag.
    family:        null: what the model's config.json says; needed only where that cannot be read beforehand.
    audio_context: batch: the encoder takes what the batch needs; full: always the model's whole context.
    dtype:         auto: float32 on a CPU, bfloat16 on a GPU.
    attention:     auto: SDPA for models that take 10 s or more at once, else eager, which is faster there.
    decode_batch, decode_batch_seconds: utterances and seconds of audio, padding included, decoded at once.
    max_chars_per_second: decoding stops there; a model that babbles would go on until its context is full.
    prompts:       of a model that takes prompts (Qwen2-Audio), by language code, `default` for all others;
                   `{code}` and `{language}` stand for the language's code and English name.
    """

    id: Annotated[str, Field(min_length=1)]
    revision: str | None = None
    family: str | None = None
    audio_context: Literal["full", "batch"] = "batch"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    attention: Literal["auto", "eager", "sdpa"] = "auto"
    decode_batch: Batch = 64
    decode_batch_seconds: Annotated[Number, Field(gt=0, le=1e6)] | None = None
    max_chars_per_second: Rate | None = 32.0
    prompts: dict[str, str] = {}


class BaselineParams(Section):
    """Decoding with the untouched base.

    audio_context: full: the checkpoint as released, which loops where its context is cut before it was adapted.
    pool:          whether the pool is decoded too: a first text for each row, at the cost of one more pass.
    """

    audio_context: Literal["full", "batch"] = "full"
    pool: bool = False


class RecogniserParams(ModelParams):
    """The model as a stage loads it. languages: the code that it is told instead, by language (`languages.X.as`)."""

    languages: dict[str, str] = {}


class LanguageParams(Section):
    """One language.

    as:   the language that the model is told in its place; null: itself.
    from: the iteration from which its rows take part; null: from the start, the base included.
    """

    model_config = ConfigDict(populate_by_name=True)

    as_: Annotated[str | None, Field(alias="as", min_length=1)] = None
    from_: Annotated[str | None, Field(alias="from", min_length=1)] = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.as_ is None and self.from_ is None:
            raise ValueError("say as: CODE (what the model is told), from: ITERATION (where it begins), or both")
        return self


Pattern = Literal["digits", "number", "time", "date", "amount", "order"]


class DomainParams(Section):
    """One domain of the demo corpus, here the source; see docs/demo-corpus.md."""

    patterns: Annotated[list[Pattern], Field(min_length=1)] = ["digits", "digits", "number", "time"]
    accents: Literal["source", "target"] = "source"
    telephone: Share = 0.0
    noise_snr: tuple[Decibels, Decibels] | None = None
    babble_snr: tuple[Decibels, Decibels] | None = None

    @model_validator(mode="after")
    def _from_low_to_high(self) -> Self:
        for name in ("noise_snr", "babble_snr"):
            bounds = getattr(self, name)
            if bounds and bounds[0] > bounds[1]:
                raise ValueError(f"{name} runs from low to high, got {list(bounds)}")
        return self


class TargetDomainParams(DomainParams):
    """The target domain of the demo corpus: other words, accents and a worse channel."""

    patterns: Annotated[list[Pattern], Field(min_length=1)] = [
        "digits", "number", "time", "amount", "amount", "amount", "order", "order", "order",
    ]  # fmt: skip
    accents: Literal["source", "target"] = "target"
    telephone: Share = 0.2
    noise_snr: tuple[Decibels, Decibels] | None = (22.0, 38.0)
    babble_snr: tuple[Decibels, Decibels] | None = (22.0, 38.0)


class DemoParams(Section):
    """The demo corpus: utterances per language in each split, and its two domains.

    strays: share of the pool that is of no use, as in a pool that was found and not made: another language
            than it is filed under, somebody else talking as loudly, or speech drowned in noise.
    """

    languages: DistinctNames = ["de", "en", "es", "fr", "ko"]
    gold: Annotated[Rows, Field(ge=1)] = 24
    pool: Annotated[Rows, Field(ge=1)] = 180
    dev: Annotated[Rows, Field(ge=1)] = 24
    test: Annotated[Rows, Field(ge=1)] = 40
    retention: Rows = 20
    replay: Rows = 0
    strays: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    source: DomainParams = DomainParams()
    target: TargetDomainParams = TargetDomainParams()


FIELDS = ("id", "audio", "text", "speaker", "language", "split", "offset", "duration")
"""What a column of a table of utterances can be mapped to."""

Names = str | dict[str, str | None] | None


class SourceParams(Section):
    """One corpus on disk (or on the hub); see docs/corpora.md.

    split, language: one for all rows, or a map from the source's own names to ours (null skips rows).
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


class CutParams(Section):
    """How recordings of the pool that are too long are cut; see `ilt.corpus.cuts`.

    method:       none: they are a problem. vad: by voice activity (Silero, extra `vad`).
    max_duration: seconds, padding included; never more than the model takes at once.
    threshold:    probability from which a frame is speech.
    pause:        seconds without speech that end a cut.
    padding:      seconds kept on both sides.
    """

    method: Literal["none", "vad"] = "none"
    max_duration: Seconds = 30.0
    threshold: Annotated[Number, Field(gt=0.15, lt=1)] = 0.5
    pause: Annotated[Seconds, Field(le=60)] = 0.5
    padding: Annotated[Number, Field(ge=0, le=10)] = 0.2

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        if 2 * self.padding >= self.max_duration:
            raise ValueError(f"padding of {self.padding:g} s on both sides leaves nothing of {self.max_duration:g} s")
        return self


class CorpusParams(Section):
    """Where the utterances come from.

    pool_reference:  JSONL with `id` and `text` of pool rows, for audits alone.
    shared_speakers: whether a speaker may be in gold, pool or replay and also in dev or test.
    tags:            annotations in texts, as `[noise]`, `(laughter)`, `*cough*`, `♪`: drop them and keep the words,
                     keep them as they are, or fail: a text that has one is a problem.
    case:            as_is | lower | auto: texts of a language and split that are in upper case throughout are put in
                     lower case, since to a pretrained model words in upper case are rows of rare tokens.
    max_duration:    seconds; null: what the model takes at once.
    """

    source: Literal["demo", "manifest", "sources"] = "demo"
    manifest: str | None = None
    sources: list[SourceParams] = []
    pool_reference: str | None = None
    on_invalid: Literal["fail", "quarantine"] = "fail"
    shared_speakers: Literal["fail", "allow"] = "fail"
    tags: Literal["drop", "keep", "fail"] = "drop"
    case: Literal["auto", "as_is", "lower"] = "auto"
    max_duration: Seconds | None = None
    min_duration: Seconds = 0.1
    cut: CutParams = CutParams()
    demo: DemoParams = DemoParams()

    @model_validator(mode="after")
    def _has_durations(self) -> Self:
        if self.max_duration is not None and self.max_duration <= self.min_duration:
            raise ValueError(f"max_duration {self.max_duration:g} must be above min_duration, {self.min_duration:g}")
        return self

    @model_validator(mode="after")
    def _needs_manifest(self) -> Self:
        if self.source == "manifest" and not self.manifest:
            raise ValueError("corpus.source=manifest needs corpus.manifest=PATH of a JSONL manifest")
        if self.source == "sources" and not self.sources:
            raise ValueError("corpus.source=sources needs corpus.sources=[{format: ..., path: ...}, ...]")
        return self


class AdapterParams(Section):
    """How training stages build on one another, and which languages an adapter is for (docs/languages.md).

    mode:  merge_and_reset: a fresh LoRA over everything before it, merged (ILT). For comparison: continue: the
           same LoRA through all stages; single: one LoRA on gold alone, with as many steps as all stages
           together; full: the same with all weights trained, in place of a LoRA.
    scope: shared: one adapter for all languages. per_language: each language has its own in every stage.
           shared+per_language: focus and feedback train shared ones, fix one for each language over them.
    scale: factor on each adapter's update when its stage ends (`merge_and_reset`): below 1, the weights lie
           between the base and what was trained.
    """

    mode: Literal["merge_and_reset", "continue", "single", "full"] = "merge_and_reset"
    scope: Literal["shared", "per_language", "shared+per_language"] = "shared"
    scale: Annotated[Number, Field(ge=0.01, le=1)] = 1.0

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.scope != "shared" and self.mode != "merge_and_reset":
            raise ValueError(
                f"scope: {self.scope} is for mode: merge_and_reset; with mode: {self.mode}, say scope: shared"
            )
        if self.mode == "full" and self.scale != 1.0:
            raise ValueError("scale is for adapters; with mode: full, say scale: 1.0")
        return self


class MixtureParams(Section):
    """Composition of training batches, beside `train.gold_share`.

    temperature:  languages are drawn with probability proportional to n^(1/temperature), n: their rows, among
                  gold and among pseudo-labels. 1: as they are; large: alike.
    replay_share: share of each batch drawn from the split `replay`; gold and pseudo-labels share the rest.
    """

    temperature: Annotated[Number, Field(ge=0.1, le=1000)] = 1.0
    replay_share: Annotated[Number, Field(ge=0, lt=1)] = 0.0


class LoraParams(Section):
    """LoRA (Hu et al. 2021, arXiv 2106.09685), as PEFT takes it; alpha null means twice the rank.

    target_modules: names of linear layers; a model takes those that it has. The first six are Whisper's, the
                    others of Qwen2-Audio's language model.
    encoder:        whether the layers of the audio encoder get one too.
    """

    r: Annotated[Whole, Field(ge=1, le=1024)] = 16
    alpha: Annotated[Number, Field(ge=0.01, le=10_000)] | None = None
    dropout: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    target_modules: DistinctNames = [
        "q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2", "o_proj", "gate_proj", "up_proj", "down_proj",
    ]  # fmt: skip
    encoder: bool = True


class SpecAugmentParams(Section):
    """Augmentation of features, anew each time an utterance is used.

    SpecAugment (Park et al. 2019, arXiv 1904.08779): masks per utterance and their greatest widths in frames
    and mel bins. speed, formants: greatest relative change of tempo and of the vocal tract's length (VTLP,
    Jaitly and Hinton 2013). channel: strength of a random channel, 0 to 1, see `ilt.training.channel`.
    """

    time_masks: Annotated[Whole, Field(ge=0, le=100)] = 2
    time_width: Annotated[Whole, Field(ge=1, le=3000)] = 8
    frequency_masks: Annotated[Whole, Field(ge=0, le=100)] = 2
    frequency_width: Annotated[Whole, Field(ge=1, le=128)] = 12
    speed: Annotated[Number, Field(ge=0, le=0.5)] = 0.12
    formants: Annotated[Number, Field(ge=0, le=0.3)] = 0.1
    channel: Share = 0.6


class TrainParams(Section):
    """One training: `train`, overlaid with its stage's section and with what the iteration says of the stage.

    learning_rate:  the highest of the schedule; null: by the model's size (`ilt.params.resolving`).
    lr_factor:      factor on it, for a stage or an iteration.
    steps | epochs: exactly one is set; an epoch is one pass over gold. 0 steps skip the stage.
    batch_seconds:  null: a batch is `batch_size` utterances. A number: as many utterances of like length as
                    fill so many seconds, each counted as long as the longest of its batch.
    gradient_checkpointing: keep no activations inside layers but compute them again on the way back: much
                    less memory for about a third more time.
    gold_share:     share of each batch drawn from gold, the rest from selected labels. Focus has gold alone.
    warmup:         share of the steps over which the learning rate rises; then it falls as a cosine.
    evaluations:    how often WER of generated text is measured on dev (and once before the first step); the
                    last adapter that is not clearly worse than the best is kept.
    evaluation_rows: of dev, at most so many are measured on.
    average:        the weights of the last so many points of the second half of the training are averaged
                    (1: none).
    """

    seed: Seed = 1
    learning_rate: Annotated[Number, Field(ge=1e-9, le=1)] | None = None
    lr_factor: Annotated[Number, Field(ge=0.001, le=1000)] = 1.0
    lora: LoraParams = LoraParams()
    steps: Rows | None = None
    epochs: Annotated[Number, Field(gt=0, le=10_000)] | None = None
    batch_size: Batch = 8
    batch_seconds: Annotated[Number, Field(gt=0, le=1e6)] | None = None
    gradient_accumulation: Batch = 1
    gradient_checkpointing: bool = False
    gold_share: Share = 0.5
    warmup: Annotated[Number, Field(ge=0, lt=1)] = 0.1
    weight_decay: Annotated[Number, Field(ge=0, le=10)] = 0.0
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)] = 0.1
    max_grad_norm: Annotated[Number, Field(ge=0.001, le=1e6)] = 1.0
    evaluations: Annotated[Whole, Field(ge=1, le=1000)] = 2
    evaluation_rows: Annotated[Rows, Field(ge=1)] = 240
    average: Annotated[Whole, Field(ge=1, le=1000)] = 1
    spec_augment: SpecAugmentParams = SpecAugmentParams()

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("exactly one of steps and epochs must be set; make the other null")
        if self.epochs is not None and self.gold_share == 0:
            raise ValueError("an epoch is one pass over gold, of which gold_share 0 has none; say steps")
        return self


class LabelParams(Section):
    """Decoding of the pool.

    beams:                1 is greedy.
    perturb_speed, perturb_noise: the second decode hears speech stretched by this factor, with this much
                          Gaussian noise (in units of Whisper's scaled log-mel, whose range is 2) added.
    similarity_neighbours: nearest gold utterances that `gold_similarity` is the mean over.
    """

    beams: Annotated[Whole, Field(ge=1, le=50)] = 1
    perturb_speed: Annotated[Number, Field(gt=0.5, lt=2)] = 1.1
    perturb_noise: Annotated[Number, Field(ge=0, le=2)] = 0.1
    similarity_neighbours: Annotated[Whole, Field(ge=1, le=10_000)] = 5


class SelectParams(Section):
    """Choice of pseudo-labels.

    method:             calibrated | for comparison: logprob (best mean token log-probability), all (no
                        filter), oracle (true error, from the pool reference).
    keep:               at most this share of each language's rows.
    keep_by_language:   another share for some languages, by code.
    max_expected_error: nothing above it is kept,
    min_rows:           except that each language keeps its best rows up to this many, if not flagged.
    similarity_weight:  weight of `gold_similarity` beside expected error in the ranking.
    min_chars_per_second, max_chars_per_second, max_compression_ratio, max_no_speech_prob: limits of flags.
    """

    method: Literal["calibrated", "logprob", "all", "oracle"] = "calibrated"
    keep: Share = 0.5
    keep_by_language: dict[str, Share] = {}
    max_expected_error: Share = 0.3
    min_rows: Rows = 20
    similarity_weight: Annotated[Number, Field(ge=0, le=10)] = 0.05
    min_chars_per_second: Annotated[Number, Field(ge=0, le=1000)] = 1.0
    max_chars_per_second: Rate = 40.0
    max_compression_ratio: Annotated[Number, Field(ge=1, le=1000)] = 2.4
    max_no_speech_prob: Share = 0.6

    @model_validator(mode="after")
    def _keeps_something(self) -> Self:
        if self.min_chars_per_second >= self.max_chars_per_second:
            raise ValueError(
                f"min_chars_per_second {self.min_chars_per_second:g} must be below max_chars_per_second, "
                f"{self.max_chars_per_second:g}"
            )
        if self.keep == self.min_rows == 0 and not any(self.keep_by_language.values()):
            raise ValueError("keep and min_rows are both 0, so that no label would be selected; raise one of them")
        return self


class CorrectParams(Section):
    """Repair of labels; the budget of what is kept afterwards replaces that of `select`.

    enabled: false skips the stage: labels stay as they were selected.
    vote:    whether all decodes vote; else the newest one holds.
    """

    enabled: bool = True
    vote: bool = True
    keep: Share = 0.75
    keep_by_language: dict[str, Share] = {}
    max_expected_error: Share = 0.2


class EvaluateParams(Section):
    """Scoring. bootstrap: samples of the intervals."""

    normaliser: Literal["basic", "whisper", "mlc-slm", "none"] = "basic"
    bootstrap: Annotated[Whole, Field(ge=100, le=100_000)] = 2000


class StopParams(Section):
    """Early stopping, see `ilt.evaluation.stopping`.

    min_gain: the least gain (a fraction, 0.005 is half a point) that an iteration must bring for another to
              follow: where the 95 % interval of its gain does not lie above it, later iterations are skipped.
              null: all run.
    split:    where the gain is measured. Stopping by test would make the test error a little too good.
    """

    min_gain: Annotated[Number, Field(ge=0, lt=1)] | None = None
    split: Literal["dev", "test"] = "dev"


class ReportParams(Section):
    """The report. price_per_hour: of computing, in any currency; null: minutes alone are told."""

    price_per_hour: Annotated[Number, Field(gt=0, le=1e6)] | None = None


class Params(Section):
    """The whole of params.yaml.

    focus, feedback, fix: what differs from `train` there, as parts of `TrainParams`.
    iterations: by name, `prev` (the iteration before, or base) and what differs there, by stage.
    """

    seed: Seed = 1
    model: ModelParams
    languages: dict[str, LanguageParams] = {}
    corpus: CorpusParams = CorpusParams()
    baseline: BaselineParams = BaselineParams()
    train: dict[str, Any] = {}
    focus: dict[str, Any] = {}
    feedback: dict[str, Any] = {}
    fix: dict[str, Any] = {}
    adapter: AdapterParams = AdapterParams()
    mixture: MixtureParams = MixtureParams()
    label: LabelParams = LabelParams()
    select: SelectParams = SelectParams()
    correct: CorrectParams = CorrectParams()
    evaluate: EvaluateParams = EvaluateParams()
    stop: StopParams = StopParams()
    report: ReportParams = ReportParams()
    iterations: dict[str, dict[str, Any]]

    @model_validator(mode="after")
    def _no_chain(self) -> Self:
        aliases = {code: entry.as_ for code, entry in self.languages.items() if entry.as_ is not None}
        chained = sorted(set(aliases) & set(aliases.values()))
        if chained:
            raise ValueError(f"languages.{chained[0]}.as: another language stands for {chained[0]!r} already")
        return self


def validated(kind: type[S], values: Any, where: str = "", file: str = "params.yaml") -> S:
    """Return values as a checked model. Raises IltError that names the file and, below `where`, each wrong key."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = []
        for detail in error.errors():
            name = ".".join(str(part) for part in ([where] if where else []) + list(detail["loc"]))
            what = detail["msg"].removeprefix("Value error, ")
            if detail["type"] == "extra_forbidden":
                what = "there is no such parameter; look at its neighbours for the right spelling"
            elif detail["type"] not in ("missing", "value_error"):
                what += f", got {detail['input']!r}"
            lines.append(f"  {name}: {what}")
        raise IltError(f"{file} is not valid:\n" + "\n".join(lines)) from None
