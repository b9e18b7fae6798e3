"""Texts to tokens and back, the same for every family."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

__all__ = ["chars_per_token", "clean_texts", "control_tokens", "plain_encoder"]


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
