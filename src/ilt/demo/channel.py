"""Channel of the demo corpus: a telephone line, and sound behind the speaker."""

from __future__ import annotations

import numpy as np

from ilt.corpus.audio import RATE

__all__ = ["mix", "telephone"]


def telephone(samples: np.ndarray) -> np.ndarray:
    """Return speech over a narrow-band line: 300 to 3,400 Hz, companded to 8 bits by the mu-law (ITU-T G.711)."""
    spectrum = np.fft.rfft(samples)
    frequency = np.fft.rfftfreq(len(samples), 1 / RATE)
    low = 1 / (1 + (300 / np.maximum(frequency, 1e-3)) ** 8)
    high = 1 / (1 + (frequency / 3400) ** 16)
    narrow = np.fft.irfft(spectrum * np.sqrt(low * high), len(samples))
    narrow /= max(1e-6, float(np.abs(narrow).max())) / 0.8
    companded = np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256)
    quantised = np.round(companded * 127) / 127
    return (np.sign(quantised) * (256 ** np.abs(quantised) - 1) / 255).astype(np.float32)


def mix(samples: np.ndarray, background: np.ndarray, snr: float) -> np.ndarray:
    """Return `samples` with `background`, repeated or cut to fit, `snr` decibels below them."""
    repeats = -(-len(samples) // max(1, len(background)))
    under = np.tile(background, repeats)[: len(samples)]
    scale = np.sqrt(np.mean(samples**2) / max(1e-12, float(np.mean(under**2)))) * 10 ** (-snr / 20)
    mixed = samples + under * scale
    return (mixed / max(1.0, float(np.abs(mixed).max()) / 0.98)).astype(np.float32)
