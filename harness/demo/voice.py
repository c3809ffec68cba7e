"""A synthetic voice that follows a performance: harmonics of a pitch through the resonances of a mouth (source and filter).

How pitch, its liveliness, energy, rate and brightness change with an expression follows reviews of vocal expression in direction:
Juslin and Laukka (2003, Psychological Bulletin 129, 770-814) for anger, fear, happiness and sadness, Scherer (2003, Speech
Communication 40, 227-256) for disgust, Banse and Scherer (1996, Journal of Personality and Social Psychology 70, 614-636) for
surprise. The amounts are ours. It is no speech and no recording: it lets the chain of face and sound be tried, and claims nothing
about any voice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.challenge import EXPR_CLASSES
from harness.demo.performance import Performance

RATE = 16_000
"""Samples per second."""
HIGHEST = 4_000.0
"""Hertz up to which there are harmonics."""


@dataclass(frozen=True)
class Manner:
    """How a voice differs from the same person's neutral one at full strength of an expression.

    Attributes
    ----------
    pitch : semitones higher.
    liveliness : semitones by which the pitch goes up and down more.
    energy : decibels louder.
    pace : how many times as many syllables in a second.
    brightness : decibels per octave by which high harmonics fall less.
    """

    pitch: float = 0.0
    liveliness: float = 0.0
    energy: float = 0.0
    pace: float = 1.0
    brightness: float = 0.0


MANNERS = {
    "Neutral": Manner(),
    "Anger": Manner(pitch=3.0, liveliness=2.0, energy=8.0, pace=1.3, brightness=4.0),
    "Disgust": Manner(pitch=-2.0, liveliness=-0.5, energy=1.0, pace=0.75, brightness=1.0),
    "Fear": Manner(pitch=5.0, liveliness=-1.0, energy=-1.0, pace=1.5, brightness=-1.0),
    "Happiness": Manner(pitch=4.0, liveliness=3.0, energy=5.0, pace=1.2, brightness=2.5),
    "Sadness": Manner(pitch=-3.0, liveliness=-1.2, energy=-6.0, pace=0.7, brightness=-3.0),
    "Surprise": Manner(pitch=7.0, liveliness=4.0, energy=3.0, pace=1.1, brightness=1.5),
    "Other": Manner(pitch=0.0, liveliness=1.0, energy=-3.0, pace=0.9, brightness=-1.5),
}
LIVELINESS = 1.5
"""Semitones by which a neutral voice goes up and down."""
PACE = 4.0
"""Syllables per second of a neutral voice."""
TILT = -9.0
"""Decibels per octave by which the harmonics of a neutral voice fall."""
LOUDNESS = 0.05
"""Root mean square of a neutral syllable, of full scale."""
BREATH = 0.002
"""The same of the noise that is always there."""
# First three resonances in hertz of the vowels of heed, head, hod, hawed and who'd (Peterson and Barney 1952, table II, men).
VOWELS = np.array([[270, 2290, 3010], [530, 1840, 2480], [730, 1090, 2440], [570, 840, 2410], [300, 870, 2240]], dtype=np.float64)
BANDWIDTHS = np.array([80.0, 100.0, 140.0])
LOWEST_VOICE, HIGHEST_VOICE = 95.0, 215.0
"""Hertz between which the neutral pitch of a person lies."""


def speak(performance: Performance) -> NDArray[np.float64]:
    """The voice of a performance, samples (N,) in -1..1 from the first frame to the end of the last; a function of it alone."""
    role = performance.role
    rng = np.random.default_rng([performance.noise_seed, 1])
    own = np.random.default_rng([2, role.person])
    base = LOWEST_VOICE * (HIGHEST_VOICE / LOWEST_VOICE) ** own.random()
    length = round(role.rows / role.frame_rate * RATE)
    manner = _manner(performance, length)
    syllable = np.cumsum(PACE * manner["pace"]) / RATE
    phase = 2 * np.pi * syllable
    lively = np.maximum(LIVELINESS + manner["liveliness"], 0.3)
    wave = 0.6 * np.sin(0.37 * phase + 2 * np.pi * rng.random()) + 0.4 * np.sin(phase + 2 * np.pi * rng.random())
    pitch = base * 2 ** ((manner["pitch"] + lively * wave) / 12)
    opened = np.clip(np.sin(0.5 * phase) ** 2 * 1.3 - 0.15, 0, 1)
    voiced = _harmonics(pitch, _formants(syllable, rng), TILT + manner["brightness"])
    loud = LOUDNESS * 10 ** (manner["energy"] / 20) * opened
    return np.clip(voiced * loud + BREATH * rng.standard_normal(length), -1, 1)


def _manner(performance: Performance, length: int) -> dict[str, NDArray[np.float64]]:
    """Each setting of the manner (N,), between those of the frames; the strength of the expression scales its difference."""
    role = performance.role
    middle = (np.arange(role.rows) + 0.5) / role.frame_rate * RATE
    settings = {}
    for name in ("pitch", "liveliness", "energy", "pace", "brightness"):
        rest = getattr(Manner(), name)
        full = np.array([getattr(MANNERS[EXPR_CLASSES[number]], name) for number in performance.expression])
        settings[name] = np.interp(np.arange(length), middle, rest + performance.intensity * (full - rest))
    return settings


def _formants(syllable: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Resonances (3, N) in hertz: a vowel drawn for each syllable, moving from one to the next."""
    vowels = VOWELS[rng.integers(0, len(VOWELS), int(syllable[-1]) + 3)]
    return np.stack([np.interp(syllable, np.arange(len(vowels)), vowels[:, number]) for number in range(3)])


def _harmonics(pitch: NDArray[np.float64], formants: NDArray[np.float64], tilt: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum (N,) of the harmonics of a pitch (N,) in hertz, each as loud as tilt and resonances say; root mean square about 1."""
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    total, power = np.zeros_like(pitch), np.full_like(pitch, 1e-9)
    for number in range(1, int(HIGHEST / pitch.min()) + 1):
        hertz = number * pitch
        gain = number ** (tilt / (20 * np.log10(2))) * (hertz < HIGHEST)
        resonance = np.sum(1 / (1 + ((hertz - formants) / BANDWIDTHS[:, None]) ** 2), axis=0)
        loud = gain * (0.1 + resonance)
        total += loud * np.sin(number * phase)
        power += 0.5 * loud**2
    # Not made equally loud where tilt changes: a bright voice carries more energy, as a real one does.
    return np.asarray(total / np.sqrt(np.mean(power)))
