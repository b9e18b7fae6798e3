"""Qwen2-Audio (Chu et al. 2024, arXiv 2407.10759), base and Instruct, behind the recogniser's face."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration
from transformers.cache_utils import DynamicCache
from transformers.models.whisper.tokenization_whisper import LANGUAGES as LANGUAGE_NAMES
from transformers.utils.logging import disable_progress_bar

from ilt.asr.context import audio_context
from ilt.asr.features import pad_features
from ilt.asr.greedy import (
    MARGIN,
    Opening,
    character_limits,
    decoded,
    device_of,
    forced_evidence,
    greedy,
    letters_begun,
    mean_states,
)
from ilt.asr.lineage import Lineage, merge_adapters
from ilt.asr.recogniser import Hypothesis
from ilt.errors import IltError
from ilt.params import ModelParams

__all__ = ["AUDIO", "BASE_PROMPT", "CHAT_PROMPT", "Qwen2AudioRecogniser"]

AUDIO = "<|audio_bos|><|AUDIO|><|audio_eos|>"
"""Where the audio stands in a prompt."""

BASE_PROMPT = "Detect the language and recognize the speech: <|{code}|>"
"""What the base model was trained with (Chu et al. 2024, figure 2, and the authors' evaluation)."""

CHAT_PROMPT = "Transcribe the {language} speech into {language} text. Answer with the text alone."
"""What the Instruct model is asked; the wording is this project's own."""

TEXT_TOKENS = 448
"""Tokens that a text may have at most, as for Whisper: a segment of 30 s needs fewer."""

LEAST_FRAMES = 8
"""Mel frames that an utterance has at least, so that its audio is two tokens long."""


class Qwen2AudioRecogniser:
    """See `ilt.asr.recogniser.Recogniser`.

    A prompt holds the audio and the instruction; the answer alone is learnt. Batches are padded on the left
    for decoding, so that all answers begin at the same place. A base model ends with `<|endoftext|>`; a model
    whose generation settings name `<|im_end|>` is a chat model, and is asked through its chat template.
    Evidence that this family does not have is None: the probability of no speech, and, unless the prompt ends
    in a language token, the detected language.
    """

    def __init__(self, lineage: Lineage, params: ModelParams) -> None:
        self.lineage, self.params = lineage, params
        self.device = device_of(params.device)
        load: dict[str, Any] = {"revision": lineage.revision} if lineage.revision else {}
        disable_progress_bar()
        model = Qwen2AudioForConditionalGeneration.from_pretrained(
            lineage.id, use_safetensors=True, dtype=torch.float32, **load
        )
        merge_adapters(model, [Path(link.path) for link in lineage.adapters])
        on_gpu = self.device.type == "cuda"
        model.set_attn_implementation("sdpa" if on_gpu else "eager")
        dtype = params.dtype if params.dtype != "auto" else ("bfloat16" if on_gpu else "float32")
        self.model = model.to(self.device, getattr(torch, dtype)).eval()
        processor = AutoProcessor.from_pretrained(lineage.id, **load)
        self.processor, self.extractor, self.tokenizer = (
            processor,
            processor.feature_extractor,
            processor.tokenizer,
        )
        vocabulary = self.tokenizer.get_vocab()
        self.audio = int(model.config.audio_token_id)
        ends = model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends]) - {None}
        self.chat = vocabulary.get("<|im_end|>") in ends
        self.end = vocabulary["<|im_end|>" if self.chat else "<|endoftext|>"]
        size = int(model.config.text_config.vocab_size)
        special = {*self.tokenizer.all_special_ids, self.audio}
        special |= {index for token, index in vocabulary.items() if token.startswith("<|")}
        banned = {index for index in special if index < size} | set(range(len(self.tokenizer), size))
        self._banned = torch.tensor(sorted(banned - {self.end}), device=self.device)
        codes = {code: vocabulary.get(f"<|{code}|>") for code in sorted(LANGUAGE_NAMES)}
        self.language_ids = {code: index for code, index in codes.items() if index is not None}
        self._letters = letters_begun(self.tokenizer, size).to(self.device)

        self._max_frames = 2 * int(model.config.audio_config.max_source_positions)
        # Half of what the audio leaves of the context: the prompt needs room too.
        room = int(model.config.text_config.max_position_embeddings) - self._max_frames // 4
        self._max_tokens = min(TEXT_TOKENS, room // 2)

    @property
    def max_frames(self) -> int:
        return self._max_frames

    @property
    def max_tokens(self) -> int:
        return self._max_tokens

    @property
    def audio_modules(self) -> str:
        """A pattern of the modules that hear: LoRA leaves them alone unless asked (`lora.encoder`)."""
        return r".*\b(audio_tower|multi_modal_projector)\b.*"

    def fits(self, text: str) -> bool:
        return len(self.tokenizer(text, add_special_tokens=False).input_ids) <= self.max_tokens

    def prompt(self, language: str) -> str:
        """The whole prompt for a language, with `AUDIO` where the audio stands.

        Raises IltError for a language without a name, where the prompt asks for one.
        """
        prompts = self.params.prompts
        text = prompts.get(language, prompts.get("default", CHAT_PROMPT if self.chat else BASE_PROMPT))
        if "{language}" in text and language not in LANGUAGE_NAMES:
            raise IltError(
                f"model.prompts: the prompt names the language, and {language!r} has no known English name; "
                f"write a prompt of its own: model.prompts.{language}"
            )
        text = text.replace("{code}", language).replace(
            "{language}", LANGUAGE_NAMES.get(language, "").title()
        )
        if not self.chat:
            return text if AUDIO in text else AUDIO + text
        content = [{"type": "audio", "audio_url": "utterance"}, {"type": "text", "text": text}]
        turns = [{"role": "user", "content": content}]
        return str(self.processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))

    def _prompts(self, languages: Sequence[str], frames: Sequence[int]) -> list[list[int]]:
        """Token ids of each prompt, with as many audio tokens as the audio has."""
        ids = {
            code: self.tokenizer(self.prompt(code), add_special_tokens=False).input_ids
            for code in set(languages)
        }
        _, lengths = self._audio_lengths(torch.tensor(frames))
        rows = []
        for code, length in zip(languages, lengths.tolist(), strict=True):
            if ids[code].count(self.audio) != 1:
                raise IltError(f"model.prompts: the prompt for {code!r} must hold {AUDIO} exactly once")
            at = ids[code].index(self.audio)
            rows.append([*ids[code][:at], *[self.audio] * length, *ids[code][at + 1 :]])
        return rows

    def _audio_lengths(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encoder positions and audio tokens of utterances of so many mel frames."""
        return self._tower()._get_feat_extract_output_lengths(frames)

    def _tower(self) -> Any:
        return self.model.model.audio_tower

    def _frames(self, features: Sequence[torch.Tensor]) -> list[int]:
        return [min(max(feature.shape[1], LEAST_FRAMES), self.max_frames) for feature in features]

    def _heard(self, features: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """What the model takes as audio: padded features and their mask."""
        frames = self._frames(features)
        width = self.max_frames
        if self.params.audio_context == "batch":
            longest = max(frames) + MARGIN
            width = min(width, longest + longest % 2)
        padded = pad_features(features, width).to(self.device, self.model.dtype)
        mask = torch.arange(width)[None] < torch.tensor(frames)[:, None]
        return {"input_features": padded, "feature_attention_mask": mask.long().to(self.device)}

    def _stacked(self, rows: Sequence[Sequence[int]], left: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Token rows of unlike length as ids and attention mask, both (batch, longest)."""
        size = max(map(len, rows))
        ids = torch.full((len(rows), size), self.end)
        mask = torch.zeros(len(rows), size, dtype=torch.long)
        for number, row in enumerate(rows):
            at = slice(size - len(row), size) if left else slice(0, len(row))
            ids[number, at] = torch.tensor(row)
            mask[number, at] = 1
        return ids.to(self.device), mask.to(self.device)

    def _mask(self, logits: torch.Tensor, _first: bool) -> torch.Tensor:
        logits = logits.float()
        logits[:, self._banned] = -torch.inf
        return logits

    def _openings(self, logits: torch.Tensor, prompts: Sequence[Sequence[int]]) -> list[Opening]:
        """The detected language, where prompts end in a language token. logits: those that predict it."""
        known = set(self.language_ids.values())
        if not known or any(row[-1] not in known for row in prompts):
            return [Opening()] * len(prompts)
        codes = sorted(self.language_ids)
        share = logits.float()[:, [self.language_ids[code] for code in codes]].softmax(-1)
        best, at = share.max(-1)
        return [Opening(None, codes[i], p) for i, p in zip(at.tolist(), best.tolist(), strict=True)]

    @torch.inference_mode()
    def transcribe(
        self, features: Sequence[torch.Tensor], languages: Sequence[str], beams: int = 1, embed: bool = False
    ) -> list[Hypothesis]:
        heard, prompts = self._heard(features), self._prompts(languages, self._frames(features))
        states: list[torch.Tensor] = []
        hook = self._tower().register_forward_hook(lambda *call: states.append(call[-1].last_hidden_state))
        try:
            with audio_context(self._tower(), heard["input_features"].shape[-1]):
                if beams == 1:
                    hypotheses = self._greedy(heard, prompts, features)
                else:
                    texts = self._beam_search(heard, prompts, beams)
                    hypotheses = self._evidence(heard, prompts, texts)
        finally:
            hook.remove()
        if embed:
            _, lengths = self._audio_lengths(torch.tensor(self._frames(features)))
            means = mean_states(states[-1], lengths).cpu().numpy()
            for hypothesis, mean in zip(hypotheses, means, strict=True):
                hypothesis.embedding = mean
        return hypotheses

    def _greedy(
        self,
        heard: dict[str, torch.Tensor],
        prompts: list[list[int]],
        features: Sequence[torch.Tensor],
    ) -> list[Hypothesis]:
        ids, mask = self._stacked(prompts, left=True)
        cache, opening = DynamicCache(), [Opening()] * len(prompts)

        def step(chosen: torch.Tensor | None) -> torch.Tensor:
            nonlocal mask, opening
            if chosen is None:
                positions = (mask.cumsum(-1) - 1).clamp_min(0)
                inputs = {"input_ids": ids, "position_ids": positions, **heard}
            else:
                mask = functional.pad(mask, (0, 1), value=1)
                inputs = {"input_ids": chosen, "position_ids": mask.sum(-1, keepdim=True) - 1}
            logits = self.model(
                **inputs,
                attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=2 if chosen is None else 1,
            ).logits
            if chosen is None:
                opening = self._openings(logits[:, -2], prompts)
            return torch.as_tensor(logits[:, -1])

        second = self.extractor.sampling_rate / self.extractor.hop_length
        limits = character_limits(features, second, self.params.max_chars_per_second).to(self.device)
        return greedy(
            step,
            lambda: opening,
            self.tokenizer,
            self._mask,
            limits,
            self._letters,
            self.end,
            self.max_tokens,
        )

    def _beam_search(self, heard: dict[str, torch.Tensor], prompts: list[list[int]], beams: int) -> list[str]:
        ids, mask = self._stacked(prompts, left=True)
        output = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            **heard,
            num_beams=beams,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            repetition_penalty=1.0,
            max_new_tokens=self.max_tokens,
            suppress_tokens=self._banned.tolist(),
            eos_token_id=self.end,
            pad_token_id=self.end,
        )
        return decoded(self.tokenizer, output[:, ids.shape[1] :])

    def _teacher(
        self, prompts: list[list[int]], texts: Sequence[str]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Ids, attention mask and what each position has to predict (-100: nothing), padded on the right."""
        answers = [
            [*self.tokenizer(text, add_special_tokens=False).input_ids[: self.max_tokens], self.end]
            for text in texts
        ]
        rows = [[*prompt, *answer[:-1]] for prompt, answer in zip(prompts, answers, strict=True)]
        ids, mask = self._stacked(rows, left=False)
        labels = torch.full_like(ids, -100)
        for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            at = len(prompt) - 1
            labels[number, at : at + len(answer)] = torch.tensor(answer, device=self.device)
        return ids, mask, labels

    def _evidence(
        self, heard: dict[str, torch.Tensor], prompts: list[list[int]], texts: Sequence[str]
    ) -> list[Hypothesis]:
        """Evidence for given texts, by teacher forcing."""
        ids, mask, labels = self._teacher(prompts, texts)
        logits = self.model(input_ids=ids, attention_mask=mask, **heard, use_cache=False).logits
        before = torch.tensor([len(prompt) - 2 for prompt in prompts], device=self.device)
        openings = self._openings(logits[torch.arange(len(prompts)), before], prompts)
        return forced_evidence(texts, logits, labels, self._mask, openings, self.max_tokens)

    def loss(
        self,
        features: Sequence[torch.Tensor],
        languages: Sequence[str],
        texts: Sequence[str],
        label_smoothing: float = 0.0,
    ) -> torch.Tensor:
        heard, prompts = self._heard(features), self._prompts(languages, self._frames(features))
        ids, mask, labels = self._teacher(prompts, texts)
        with audio_context(self._tower(), heard["input_features"].shape[-1]):
            states = self.model.model(input_ids=ids, attention_mask=mask, **heard, use_cache=False)
        # The head sees answers alone: over a large vocabulary, its output is the largest tensor of all.
        kept = labels != -100
        logits = self.model.lm_head(states.last_hidden_state[kept]).float()
        return functional.cross_entropy(logits, labels[kept], label_smoothing=label_smoothing)
