"""The code in a model card that loads an exported model. A test runs it as it stands."""

from __future__ import annotations

import inspect
from typing import Literal

from ilt.asr.lineage import Lineage
from ilt.tools.export.decoding import FASTER_OPTIONS

__all__ = ["adapter_snippet", "faster_snippet", "merged_snippet"]


def _options(language: str | None, how: str) -> str:
    return how.format(language) if language else ""


def merged_snippet(name: str, family: str, model_class: str, language: str | None) -> str:
    """Return the code for a merged folder: a pipeline where transformers has one, else the model alone."""
    if family == "whisper":
        options = _options(language, ', generate_kwargs={{"language": "{}", "task": "transcribe"}}')
        return (
            "import soundfile\nfrom transformers import pipeline\n\n"
            f'recognise = pipeline("automatic-speech-recognition", model="{name}")\n'
            'audio, rate = soundfile.read("speech.wav")  # a name alone would need ffmpeg\n'
            f'print(recognise({{"raw": audio, "sampling_rate": rate}}{options})["text"])'
        )
    return (
        f"from transformers import AutoProcessor, {model_class}\n\n"
        f'model = {model_class}.from_pretrained("{name}").eval()\n'
        f'processor = AutoProcessor.from_pretrained("{name}")'
    )


def adapter_snippet(name: str, family: str, model_class: str, language: str | None, lineage: Lineage) -> str:
    """Return the code for an adapter over the untouched base."""
    base = f'"{lineage.id}"' + (f', revision="{lineage.revision}"' if lineage.revision else "")
    code = (
        "from peft import PeftModel\n"
        f"from transformers import AutoProcessor, {model_class}\n\n"
        f"base = {model_class}.from_pretrained({base})\n"
        f'model = PeftModel.from_pretrained(base.float(), "{name}").eval()\n'
        f"processor = AutoProcessor.from_pretrained({base})"
    )
    if family != "whisper":
        return code
    options = _options(language, ', language="{}", task="transcribe"')
    return (
        f"import soundfile\n{code}\n\n"
        'audio, rate = soundfile.read("speech.wav")  # 16 kHz, mono\n'
        'inputs = processor(audio, sampling_rate=rate, return_tensors="pt")\n'
        f"tokens = model.generate(input_features=inputs.input_features{options})\n"
        "print(processor.batch_decode(tokens, skip_special_tokens=True)[0])"
    )


def faster_snippet(name: str, language: str | None, margin: int | Literal[False] | None, banned: list[int]) -> str:
    """Return the code for a CTranslate2 folder in faster-whisper.

    margin: of `ShortContext`; False: the model takes 30 s and does not need it.
    """
    options = {"language": language or "en", "suppress_tokens": banned, **FASTER_OPTIONS}
    lines = ["from faster_whisper import WhisperModel\n"]
    if margin is not False:
        from ilt.tools.export.short_context import ShortContext

        source = inspect.getsource(ShortContext).replace("  # type: ignore[no-untyped-def]", "")
        lines = ["import numpy as np", *lines, f"\n{source}\n", f'model = ShortContext("{name}")']
        lines += [] if margin == ShortContext.margin else [f"model.margin = {margin}"]
    else:
        lines.append(f'model = WhisperModel("{name}")')
    lines += [
        "options = {",
        *(f'    "{key}": {value!r},'.replace("'", '"') for key, value in options.items()),
        "}",
        'segments, _ = model.transcribe("speech.wav", **options)',
        'print(" ".join(segment.text.strip() for segment in segments))',
    ]
    return "\n".join(lines)
