"""The settings of a self-supervised pre-training: the keys of `harness pretrain --set`, with their meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.errors import UsageError
from harness.recipes.recipe import parse_changes, setting

METHODS = ("contrawarping", "byol", "simclr", "moco", "mae")


@dataclass(frozen=True)
class PretrainingRecipe:
    """The settings of one pre-training. The values for ContraWarping are our reading: its full text could not be had."""

    method: str = setting("contrawarping", "objective: contrawarping, byol, simclr, moco or mae", METHODS)
    backbone: str = setting("res18", "network to pre-train; mae wants vit-b16")
    crops: str = setting("cropped_aligned", "which crops to read: cropped_aligned, cropped, or a folder")
    splits: list[str] = setting(["train"], "splits whose images are seen; their labels are never read")
    decode_size: int = setting(112, "side in pixels to which a worker resizes images of another size", lowest=8, highest=1024)
    image_size: int = setting(112, "side in pixels of a view", lowest=8, highest=1024)
    frame_step: int = setting(10, "one frame is drawn from every block of this many", lowest=1)

    negative_weight: float = setting(1.0, "contrawarping: weight of the warped negatives (lambda); 0 is exactly BYOL", lowest=0)
    temperature: float = setting(0.2, "contrawarping, simclr and moco: temperature of the softmax over similarities", lowest=1e-3)
    warps: int = setting(1, "contrawarping: warped versions per image", lowest=1)
    warp_points: int = setting(6, "contrawarping: facial points that a warp moves", lowest=1)
    warp_magnitude: float = setting(0.3, "contrawarping: displacement as a share of its radius", lowest=0, highest=2)
    warp_directions: str = setting("isotropic", "contrawarping: isotropic, or along facial muscles", ("isotropic", "muscles"))
    target_momentum: float = setting(0.996, "contrawarping, byol and moco: momentum of the slow network", lowest=0, highest=1)
    queue: int = setting(65536, "moco: embeddings of earlier images that serve as negatives", lowest=1)
    hidden: int = setting(4096, "width of projector and predictor", lowest=8)

    batch: int = setting(256, "images per step, over all processes", lowest=2)
    iterations: int = setting(10000, "number of steps", lowest=1)
    optimizer: str = setting("sgd", "sgd or adamw", ("sgd", "adamw"))
    learning_rate: float = setting(0.05, "highest learning rate, per 256 images", lowest=0)
    momentum: float = setting(0.9, "momentum of SGD", lowest=0, highest=1)
    weight_decay: float = setting(1e-4, "weight decay of weights; biases and normalisation do not decay", lowest=0)
    warmup: int = setting(500, "steps of linear warm-up from zero", lowest=0)
    clip_gradient: float = setting(0.0, "largest norm of the gradient; 0 does not clip", lowest=0)
    precision: str = setting("auto", "auto, fp32, bf16 or fp16", ("auto", "fp32", "bf16", "fp16"))
    checkpoint_every: int = setting(500, "steps between checkpoints", lowest=1)
    seed: int = setting(0, "seed of initial weights, draws, order, views and warps", lowest=0, highest=2**31 - 1)

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values, every key present."""
        return asdict(self)

    def method_options(self) -> dict[str, Any]:
        """What the method's module takes beside the backbone and its warp."""
        slow = {"momentum": self.target_momentum, "hidden": self.hidden}
        return {
            "contrawarping": {**slow, "weight": self.negative_weight, "temperature": self.temperature, "warps": self.warps},
            "byol": slow,
            "simclr": {"temperature": self.temperature, "hidden": self.hidden},
            "moco": {"momentum": self.target_momentum, "temperature": self.temperature, "queue": self.queue},
            "mae": {},
        }[self.method]


def load(changes: Mapping[str, str]) -> PretrainingRecipe:
    """The default settings with `changes` (key -> text). Raises UsageError for an unknown key or a wrong value."""
    values = parse_changes(changes, PretrainingRecipe)
    recipe = PretrainingRecipe(**values)
    if not recipe.splits:
        raise UsageError("splits is empty", expected="at least one of train, val, test")
    return recipe
