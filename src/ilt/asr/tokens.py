"""Texts to tokens and back, the same for every family."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import torch
from tokenizers import Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from ilt.errors import IltError

__all__ = [
    "Texts",
    "chars_per_token",
    "clean_texts",
    "control_tokens",
    "length_problem",
    "load_tokenizer",
    "plain_encoder",
]


class Texts(Protocol):
    """Texts as a checkpoint writes them.

    max_tokens: tokens that a text may have at most, so that prompt, text and end fit into the decoder.
    """

    max_tokens: int

    def encode(self, text: str, language: str = ...) -> list[int]:
        """Return the tokens of a text in a language, without prompt and end."""


def length_problem(texts: Texts, text: str, language: str) -> str | None:
    """Return why a model cannot write a text, or None where it can."""
    count = len(texts.encode(text, language))
    if count <= texts.max_tokens:
        return None
    return (
        f"text of {count} tokens is longer than the {texts.max_tokens} that the model can write; cut the utterance "
        "into shorter ones"
    )


def load_tokenizer(kind: Any, model_id: str, revision: str | None) -> Any:
    """Return the tokenizer of a model. kind: its class in transformers. Raises IltError where it cannot be read."""
    load = {"revision": revision} if revision else {}
    try:
        return kind.from_pretrained(model_id, trust_remote_code=False, **load)
    except Exception as error:  # the library for tokenizers raises nothing narrower
        reason = str(error).partition("\n")[0]
        raise IltError(f"model.id: the tokenizer of {model_id} cannot be read ({reason}); restore its files") from None


def control_tokens(tokenizer: Any) -> set[int]:
    """Return the ids of the tokens that are no text: those marked special, and those named as `<|endoftext|>` is.

    Files differ: time stamps are not marked, and a tokenizer_config.json may lack the list behind `all_special_ids`.
    """
    marked = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    named = {index for token, index in tokenizer.get_vocab().items() if re.fullmatch(r"<\|[^|]+\|>", token)}
    return {*tokenizer.all_special_ids, *marked, *named}


def plain_encoder(tokenizer: Any, control: Collection[int]) -> Callable[[str], list[int]]:
    """Return a function from a text to its tokens that never gives `control` tokens, but spells their names.

    transformers' `split_special_tokens` does so for tokens that are marked special alone. Other added tokens stay.
    """
    backend, ids = tokenizer.backend_tokenizer, tokenizer.get_vocab()
    plain = Tokenizer(backend.model)  # shared, not copied
    for part in ("normalizer", "pre_tokenizer"):
        if getattr(backend, part) is not None:
            setattr(plain, part, getattr(backend, part))
    plain.add_tokens([token for index, token in tokenizer.added_tokens_decoder.items() if index not in control])

    def encode(text: str) -> list[int]:
        # By name, since the added tokens have other ids here.
        return [ids[token] for token in plain.encode(text, add_special_tokens=False).tokens]

    return encode


def chars_per_token(ids: Mapping[str, int], special: set[int], size: int) -> torch.Tensor:
    """Return how many characters begin in each token of a byte-level vocabulary of `size`: (size,).

    A character may be several tokens; the bytes that do not continue one are those that begin one.
    """
    to_byte = {letter: byte for byte, letter in bytes_to_unicode().items()}
    begins = torch.zeros(size)
    for token, index in ids.items():
        if index not in special and index < size:
            begins[index] = sum(to_byte.get(letter, 0) & 0xC0 != 0x80 for letter in token)
    return begins


def clean_texts(tokenizer: Any, tokens: Any) -> list[str]:
    """Return the texts of token rows, without special tokens, broken characters and needless spaces."""
    texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [" ".join(text.replace("\ufffd", "").split()) for text in texts]
