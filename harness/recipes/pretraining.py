"""The settings of a self-supervised pre-training: the keys of `harness pretrain --set`, with their meaning.

Each method has defaults of its own where its authors' differ, see METHOD_DEFAULTS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from harness.errors import UsageError
from harness.recipes.settings import BaseRecipe, changed, check_pair, located_code, parse_changes, setting

METHODS = ("contrawarping", "byol", "simclr", "moco", "mae")

_ALIKE = {"view_blur": [0.5, 0.5], "view_solarize": [0.0, 0.0]}
METHOD_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "contrawarping": {},
    "byol": {},
    # Views drawn alike, blur for half of them, the hidden layer as wide as Res-50's features (Chen et al. 2020, appendix A, B.9).
    "simclr": {"hidden": 2048, "embedding": 128, **_ALIKE},
    # Momentum 0.999, rate 0.03 per 256 images, 128 numbers (He et al. 2020, section 3.3 and 4); the hidden layer, blur and
    # temperature of version 2 (Chen et al., arXiv 2003.04297, section 2), where it is 2048 wide, as Res-50's features are.
    "moco": {"target_momentum": 0.999, "learning_rate": 0.03, "hidden": None, "embedding": 128, **_ALIKE},
    # AdamW, rate 1.5e-4 per 256 images, decay 0.05, betas 0.9 and 0.95; random crops of 20 to 100 % and mirroring alone
    # (He et al. 2022, table 8 and appendix A.1).
    "mae": {
        "backbone": "vit-b16",
        "optimizer": "adamw",
        "learning_rate": 1.5e-4,
        "weight_decay": 0.05,
        "betas": [0.9, 0.95],
        "view_crop_area": [0.2, 1.0],
        "view_rotation": 0.0,
        "view_shift": 0.0,
        "view_scale": [1.0, 1.0],
        "view_jitter": 0.0,
        "view_grayscale": 0.0,
        "view_blur": [0.0, 0.0],
        "view_solarize": [0.0, 0.0],
    },
}
"""Method -> settings whose default is another than PretrainingRecipe's, which are ContraWarping's and BYOL's."""
METHOD_KEYS: Mapping[str, tuple[str, ...]] = {
    "negative_weight": ("contrawarping",),
    "temperature": ("contrawarping", "simclr", "moco"),
    "warps": ("contrawarping",),
    "warp_points": ("contrawarping",),
    "warp_magnitude": ("contrawarping",),
    "warp_radius": ("contrawarping",),
    "warp_directions": ("contrawarping",),
    "warp_family": ("contrawarping",),
    "landmarks": ("contrawarping",),
    "landmarks_side": ("contrawarping",),
    "target_momentum": ("contrawarping", "byol", "moco"),
    "queue": ("moco",),
    "hidden": ("contrawarping", "byol", "simclr", "moco"),
    "embedding": ("contrawarping", "byol", "simclr", "moco"),
    "mask": ("mae",),
    "positives": ("contrawarping", "byol", "simclr", "moco"),
    "positive_seconds": ("contrawarping", "byol", "simclr", "moco"),
    "fps": ("contrawarping", "byol", "simclr", "moco"),
}
"""Setting that only some methods have -> those methods."""
FIRST_REVISION = 1
RANGES = {
    "view_crop_area": (0.01, 1.0),
    "view_scale": (0.1, 10.0),
    "view_blur_sigma": (1e-3, 100.0),
    "warp_radius": (0.05, 1.0),
}
"""Setting that is a pair, lowest and highest value of something -> what these may be."""
PROBABILITIES = ("view_blur", "view_solarize")
"""Settings that are a pair of probabilities."""


@dataclass(frozen=True)
class PretrainingRecipe(BaseRecipe):
    """The settings of one pre-training. The values for ContraWarping are our reading: its full text could not be had."""

    RETIRED: ClassVar[Mapping[str, str]] = {
        # ContraWarping's first objective, where warped faces were negatives alone.
        "same_view": "every version of a face is seen under the same transformations",
        "negatives_online": "gradients flow through every warped face, each being a query itself",
    }

    method: str = setting("contrawarping", "objective: contrawarping, byol, simclr, moco or mae", METHODS)
    backbone: str = setting("res18", "network to pre-train; mae wants vit-b16")
    weights: str | None = setting(
        None,
        "what the backbone starts from: a file, `builtin` for the ones an installed package brings, or null for random",
        added=True,
    )
    splits: list[str] = setting(["train"], "splits whose images are seen; their labels are never read")
    decode_size: int = setting(
        0, "side in pixels to which a worker resizes images of another size; 0: that of the crops", lowest=0, highest=1024
    )
    image_size: int = setting(112, "side in pixels of a view", lowest=8, highest=1024)
    frame_step: int = setting(10, "one frame is drawn from every block of this many", lowest=1)
    sampling: str = setting(
        "frames",
        "frames: a pass takes a frame of every block, so that long tracks are seen more; tracks: one frame of every track",
        ("frames", "tracks"),
        added=True,
    )
    positives: str = setting(
        "image",
        "all but mae: what the two views of a pair show: one image, or two frames of a track",
        ("image", "track"),
        added=True,
    )
    positive_seconds: float = setting(
        1.0, "positives=track: how far apart in time the two frames of a pair are at most", lowest=0, added=True
    )
    fps: float | None = setting(
        None,
        "positives=track: frame rate of recordings whose rate is unknown; null refuses them",
        lowest=0.1,
        highest=1000,
        added=True,
    )

    negative_weight: float = setting(1.0, "contrawarping: weight of the warped negatives (lambda); 0 is exactly BYOL", lowest=0)
    temperature: float = setting(0.2, "contrawarping, simclr and moco: temperature of the softmax over similarities", lowest=1e-3)
    warps: int = setting(1, "contrawarping: warped versions per image", lowest=1)
    warp_points: int = setting(6, "contrawarping: facial points that a warp moves", lowest=1)
    # With muscles as directions, among what a network tells most surely at every side of the gate (docs/pretraining.md).
    warp_magnitude: float = setting(1.0, "contrawarping: displacement as a share of its radius", lowest=0, highest=2)
    warp_radius: list[float] = setting(
        [0.1, 0.2], "contrawarping: smallest and largest reach of a point's displacement, as shares of the image's side"
    )
    warp_directions: str = setting("muscles", "contrawarping: along facial muscles, or isotropic", ("isotropic", "muscles"))
    warp_family: str = setting(
        "gaussian",
        "contrawarping: gaussian, or thin-plate for the spline that holds rigid points",
        ("gaussian", "thin-plate"),
        added=True,
    )
    landmarks: str | None = setting(
        None,
        "contrawarping: CSV of facial points by image (track,frame,x0,y0,...,x67,y67 in pixels of the crop) at which to warp; "
        "images without take the template of aligned crops, as all do for null",
    )
    landmarks_side: int = setting(112, "contrawarping: side in pixels of the crops that landmarks was measured in", lowest=1)
    target_momentum: float = setting(0.996, "contrawarping, byol and moco: momentum of the slow network", lowest=0, highest=1)
    queue: int = setting(65536, "moco: embeddings of earlier images that serve as negatives", lowest=1)
    hidden: int | None = setting(
        4096, "all but mae: width of the hidden layer of projector and predictor; null for as wide as the features", lowest=8
    )
    embedding: int = setting(256, "all but mae: numbers that images are compared by", lowest=2)
    mask: float = setting(0.75, "mae: share of the patches that is hidden", lowest=0.01, highest=0.99)

    view_crop_area: list[float] = setting([0.6, 1.0], "views: smallest and largest share of the image's area that is seen")
    view_rotation: float = setting(10.0, "views: largest rotation in degrees", lowest=0, highest=180)
    view_shift: float = setting(0.08, "views: largest motion along each axis, as a share of the side", lowest=0, highest=1)
    view_scale: list[float] = setting([0.9, 1.1], "views: smallest and largest scale")
    view_flip: float = setting(0.5, "views: probability of mirroring", lowest=0, highest=1)
    view_jitter: float = setting(0.8, "views: probability of changed colours", lowest=0, highest=1)
    view_brightness: float = setting(0.4, "views: largest change of the brightness factor", lowest=0, highest=1)
    view_contrast: float = setting(0.4, "views: largest change of the contrast factor", lowest=0, highest=1)
    view_saturation: float = setting(0.2, "views: largest change of the saturation factor", lowest=0, highest=1)
    view_hue: float = setting(0.1, "views: largest change of hue, in turns of the colour circle", lowest=0, highest=0.5)
    view_grayscale: float = setting(0.2, "views: probability of dropping colour", lowest=0, highest=1)
    view_blur: list[float] = setting([1.0, 0.1], "views: probabilities of a blur, of the first view and of all others")
    view_blur_sigma: list[float] = setting([0.1, 2.0], "views: smallest and largest blur, in pixels at 224")
    view_solarize: list[float] = setting([0.0, 0.2], "views: probabilities of solarization, of the first view and of all others")

    batch: int = changed("batch", 256)
    iterations: int = changed("iterations", 10000)
    learning_rate: float = changed("learning_rate", 0.05, meaning="highest learning rate, per 256 images")
    weight_decay: float = changed("weight_decay", 1e-4, meaning="weight decay of weights; biases and normalisation do not decay")
    warmup: int = changed("warmup", 500, meaning="steps of linear warm-up from zero")
    checkpoint_every: int = changed("checkpoint_every", 500)
    seed: int = changed("seed", 0, meaning="seed of initial weights, draws, order, views and warps")
    loss_scale: float = setting(
        0.0, "fp16 alone: factor of the loss against underflow, kept throughout; 0 finds and follows one", lowest=0
    )

    def __post_init__(self) -> None:
        """Refuses combinations that cannot be meant. Raises UsageError."""
        super().__post_init__()
        if not self.splits:
            raise UsageError("splits is empty", expected="at least one of train, val, test")
        for key, (low, high) in RANGES.items():
            check_pair(key, getattr(self, key), low, high, ascending=True)
        for key in PROBABILITIES:
            check_pair(key, getattr(self, key), 0.0, 1.0, ascending=False)

    @property
    def pairs_frames(self) -> bool:
        """Whether the second view shows another frame of the track than the first."""
        return self.positives == "track" and self.method in METHOD_KEYS["positives"]

    @property
    def revision(self) -> int:
        """Counts the objectives that had the method's name. A pre-training begun by one is never gone on with by another.

        The first ContraWarping had warped faces as negatives alone. Without any weight of the warps both are BYOL.
        """
        return 2 if self.method == "contrawarping" and self.negative_weight > 0 else FIRST_REVISION

    def recorded_revision(self) -> dict[str, int]:
        """The revision of the objective as run.json keeps it: a first one goes without saying."""
        return {} if self.revision == FIRST_REVISION else {"revision": self.revision}

    @classmethod
    def defaults(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the keys that are not among `values` are, which depends on the method."""
        return {**super().defaults(values), **METHOD_DEFAULTS[values.get("method", METHODS[0])]}

    @classmethod
    def without_effect(cls, values: Mapping[str, Any]) -> frozenset[str]:
        """The keys that the method does not have."""
        return frozenset(key for key, methods in METHOD_KEYS.items() if values.get("method", METHODS[0]) not in methods)

    def method_options(self) -> dict[str, Any]:
        """What the method's module takes beside the backbone and its warp."""
        projection = {"hidden": self.hidden, "embedding": self.embedding}
        slow = {"momentum": self.target_momentum, **projection}
        options: dict[str, dict[str, Any]] = {
            "contrawarping": {
                **slow,
                "weight": self.negative_weight,
                "temperature": self.temperature,
                "warps": self.warps,
            },
            "byol": slow,
            "simclr": {"temperature": self.temperature, **projection},
            "moco": {**slow, "temperature": self.temperature, "queue": self.queue},
            "mae": {"mask": self.mask},
        }
        return options[self.method]

    def view_options(self) -> dict[str, Any]:
        """The global transformations, as models.ssl.views.ViewSettings takes them."""
        own = {key.removeprefix("view_"): value for key, value in self.as_dict().items() if key.startswith("view_")}
        return {key: tuple(value) if isinstance(value, list) else value for key, value in own.items()}


def load(changes: Mapping[str, str]) -> PretrainingRecipe:
    """The method's default settings with `changes` (key -> text). Raises UsageError for an unknown key or a wrong value."""
    values = located_code(parse_changes(changes, PretrainingRecipe), Path())
    return PretrainingRecipe(**{**PretrainingRecipe.defaults(values), **values})
