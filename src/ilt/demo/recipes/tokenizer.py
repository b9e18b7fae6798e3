"""Tokenizer of the demo models: byte-level BPE whose merges stop at characters, with Whisper's special tokens.

One token a character keeps words that the base never saw writable, and a byte spells what is no
character of the ten languages. The special tokens stand in Whisper's order, since
`WhisperTokenizer` computes language tokens from their position.
"""

from __future__ import annotations

from transformers import WhisperTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.models.whisper.tokenization_whisper import LANGUAGES as WHISPER_LANGUAGES

__all__ = ["build_tokenizer", "letter_vocabulary"]

SPECIAL = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{code}|>" for code in WHISPER_LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)


def letter_vocabulary(texts: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return a byte-level vocabulary and merges: one token for each character in `texts`, and one for each byte."""
    byte_letters = bytes_to_unicode()
    vocabulary = {letter: index for index, letter in enumerate(sorted(byte_letters.values()))}
    merges: list[tuple[str, str]] = []
    for character in sorted(set("".join(texts))):
        letters = [byte_letters[byte] for byte in character.encode()]
        joined = letters[0]
        for letter in letters[1:]:
            if joined + letter not in vocabulary:
                merges.append((joined, letter))
                vocabulary[joined + letter] = len(vocabulary)
            joined += letter
    return vocabulary, merges


def build_tokenizer(texts: list[str]) -> WhisperTokenizer:
    """Return a tokenizer with one token for each character in `texts`, and one for each byte."""
    vocabulary, merges = letter_vocabulary(texts)
    tokenizer = WhisperTokenizer(
        vocab=vocabulary,
        merges=merges,
        unk_token="<|endoftext|>",
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL[1:])})
    return tokenizer
