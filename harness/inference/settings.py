"""How a split is scored: one value for everything that a user can ask for."""

from __future__ import annotations

from dataclasses import dataclass

from harness.runs.scores import FLIPPED


@dataclass(frozen=True)
class Scoring:
    """How a checkpoint's scores or features of a split are made.

    The first seven change numbers and stand in the index of what is stored; the others do not.

    Attributes
    ----------
    checkpoint : last or best.
    precision : fp32, bf16 or fp16; None for that of the training.
    batch : images or windows per forward pass, another number changes the last bits of a score; None for the usual number.
    stride : every how many seen frames are scored; the others are skipped, not missing.
    flip : whether the images are mirrored.
    frame_rate : of recordings whose rate is unknown, for a temporal model; None for that of the training.
    half : whether features are stored in half precision.
    shard : part i of n, as `i/n`.
    workers : processes that decode images; None for none beside this one.
    verify : whether the bytes of all that goes in are compared with those that went in.
    strict : whether an image that cannot be read is an error instead of a missing frame.
    """

    checkpoint: str = "last"
    precision: str | None = None
    batch: int | None = None
    stride: int = 1
    flip: bool = False
    frame_rate: float | None = None
    half: bool = False
    shard: str = "1/1"
    workers: int | None = None
    verify: bool = False
    strict: bool = False

    def name_of(self, split: str) -> str:
        """Under which name the numbers of a split are stored."""
        return split + (FLIPPED if self.flip else "")
