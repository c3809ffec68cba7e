"""The recipe of a frame-wise training: every setting of a classifier of face images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.challenge import challenge_named
from harness.errors import UsageError, near_names
from harness.recipes.plugins import is_plugin
from harness.recipes.settings import LabelledRecipe, changed, numbers_of, setting

HEADS = ("spatial", "pooled")


@dataclass(frozen=True)
class Recipe(LabelledRecipe):
    """The settings of one supervised training. The defaults are those of the paper's published Res-50 configuration."""

    paper_f1: float | None = setting(None, "macro-F1 x 100 the paper reports for this system on the official validation set")

    backbone: str = setting(
        "res50",
        "network that turns an image into a feature map; `harness recipes --backbones` lists them; or code: package.module:name, "
        "file.py:name",
    )
    weights: str | None = setting(
        None, "what the backbone starts from: a file, `builtin` for the ones an installed package brings, or null for random"
    )
    weights_part: str | None = setting(
        None, "part of the backbone that weights is for, as APViT's extractor; null for the whole backbone"
    )
    weights_second: str | None = setting(None, "a second file, for a backbone whose parts were published in two")
    weights_second_part: str | None = setting(
        None, "part of the backbone that weights_second is for, as APViT's vit; null where one file is enough"
    )
    weights_wanted: str = setting("", "which published weights this recipe is meant for, in words")
    allow_partial: bool = setting(False, "whether a file may lack tensors of the backbone, which then stay random")
    accept_untouched_statistics: bool = setting(
        False, "whether a file is taken whose BatchNorm statistics are those of a random initialisation"
    )
    weights_head: bool = setting(
        False, "whether weights is a trained classifier whose head is taken as well, its outputs put in the order of our classes"
    )
    weights_classes: str | None = setting(
        None,
        "class order of that classifier where its file says none: abaw, affectnet, affectnet7, raf-db, ferplus, or names with "
        "commas; other classes than ours are refused",
    )
    normalise: str = setting(
        "backbone",
        "mean and deviation of the pixels; backbone: those its published weights were trained with; imagenet; half: 0.5 and 0.5",
        ("backbone", "imagenet", "half"),
    )
    head: str = setting(
        "spatial", "spatial: two 2x2 convolutions, flatten, linear; pooled: global average, linear; or code: file.py:name"
    )
    loss: str = setting(
        "", "code that judges the network's outputs, as file.py:name; empty for the loss of the challenge", added=True
    )
    augmentation: str = setting("", "code that changes decoded images before the crop, as file.py:name", added=True)
    head_width: int = setting(256, "channels of the spatial head's convolutions (paper, section 3.2)", lowest=1)
    head_strides: list[int] = setting(
        [1, 2], "strides of the spatial head's convolutions: [1, 2] as the published code, [2, 2] as the paper says"
    )
    freeze_stages: int = setting(2, "how many first stages keep their weights and statistics; 0 trains everything", lowest=0)

    decode_size: int = setting(
        0, "side in pixels to which a worker resizes images of another size; 0: that of the crops", lowest=0, highest=1024
    )
    image_size: int = setting(224, "side in pixels of what the network sees", lowest=8, highest=1024)
    test_resize: int = setting(256, "side to which a test image is resized before the centre of image_size is cut out", lowest=8)

    frame_step: int = setting(10, "one frame is drawn from every block of this many (paper: ten)", lowest=1)
    frame_draw: str = setting(
        "fresh",
        "fresh: a new draw from every block at each pass; fixed: one residue of 1..step-1 per track for all passes, as published",
        ("fresh", "fixed"),
    )
    label_shift: int = setting(
        0, "label line k belongs to image k + shift; the published code's own fault is -1", lowest=-3, highest=3
    )
    balance: str = setting(
        "copies",
        "repeat-factor sampling with r = max(1, sqrt(balance_threshold / share)) per class; copies: ceil(r) each, as published; "
        "fractional: r on average; none",
        ("copies", "fractional", "none"),
    )
    balance_threshold: float = setting(0.15, "share below which a class is repeated", lowest=0, highest=1)

    class_weights: str = setting(
        "none",
        "how much a frame counts by its class; balanced: inverse to the class's share of the frames; or a number for each class, "
        "with commas; none is alike. Beside it `balance` repeats rare classes",
        added=True,
    )
    learn_part_weights: bool = setting(
        False,
        "whether the weights of the parts are learned as well (uncertainty weighting): L / v + log(v) / 2 for a part of loss L",
        added=True,
    )

    crop_area: list[float] = setting([0.6, 1.0], "random square crop: lowest and highest share of the image's area")
    flip: float = setting(0.5, "probability of a horizontal flip", lowest=0, highest=1)
    rotate: float = setting(0.0, "largest rotation in degrees, applied with probability 0.5", lowest=0, highest=180)
    grayscale: float = setting(0.0, "probability of dropping colour", lowest=0, highest=1)
    colour_jitter: float = setting(
        0.0, "strength of brightness, contrast and saturation jitter, with probability 0.8", lowest=0, highest=1
    )
    blur: float = setting(0.0, "probability of a Gaussian blur of sigma 0.1 to 2 pixels", lowest=0, highest=1)
    erase: float = setting(0.0, "probability of erasing a rectangle of 2 to 33 % of the area with noise", lowest=0, highest=1)
    published_augmentation: bool = setting(
        False,
        "as the published code in small: turned before the crop and black beyond the image; brightness, contrast and saturation "
        "in a random order; a blur's tails out to 4 sigma; noise clipped to colours",
        added=True,
    )

    mixup: float = setting(
        0.0,
        "alpha of mixup's Beta(alpha, alpha), 0 for none; with cutmix as well each has every second step",
        lowest=0,
        added=True,
    )
    cutmix: float = setting(0.0, "alpha of CutMix's Beta(alpha, alpha), 0 for none", lowest=0, added=True)
    rand_augment: int = setting(
        0, "RandAugment: operations that each decoded image goes through before the crop; 0 for none", lowest=0, added=True
    )
    rand_strength: int = setting(9, "strength of RandAugment's operations", lowest=0, highest=30, added=True)

    iterations: int = changed(
        "iterations", 8000, meaning="number of steps; 0 makes a run of a trained classifier as it is (weights_head)", lowest=0
    )
    backbone_rate: float = setting(1.0, "learning-rate multiplier of the backbone; the head has 1", lowest=0)
    layer_decay: float = setting(
        1.0,
        "layer-wise decay of the learning rate: factor from each layer of the backbone to the one before; 1 is the same for all",
        lowest=0.01,
        highest=1,
        added=True,
    )
    drop_path: float = setting(
        0.0,
        "share of samples that skip the last block's residual branches (stochastic depth); it rises evenly from the first block",
        lowest=0,
        highest=0.9,
        added=True,
    )
    lora: int = setting(
        0,
        "rank of low-rank adaptation: the backbone's weights are held and such matrices learned; 0 is off",
        lowest=0,
        added=True,
    )
    lora_alpha: float = setting(
        0.0, "alpha of low-rank adaptation, divided by the rank; 0 is the rank itself", lowest=0, added=True
    )
    lora_targets: list[str] = setting(
        ["attn", "attention"], "parts of the names of the matrices that low-rank adaptation adapts", added=True
    )
    average: float = setting(
        0.0, "EMA: decay per step of a moving average of the weights, which predicts in their place; 0 is off", lowest=0
    )
    loss_scale: float = setting(
        0.0, "fp16 alone: factor of the loss against underflow, kept throughout; 0 finds and follows one", lowest=0
    )

    accumulate: int = setting(
        1,
        "parts in which each process takes its share of a batch, one after the other, in the memory of one; the step is that of "
        "the whole batch, but BatchNorm sees a part at a time",
        lowest=1,
        added=True,
    )
    gradient_checkpointing: bool = setting(
        False, "whether stages are computed again in the backward pass instead of kept: less memory, the same result", added=True
    )
    compile: bool = setting(False, "whether torch.compile makes the network faster, in other digits", added=True)

    validation_step: int = setting(1, "every how many frames are scored in validations while training", lowest=1)

    def __post_init__(self) -> None:
        """Refuses combinations that cannot be meant. Raises UsageError."""
        super().__post_init__()
        numbers_of("class_weights", self.class_weights)
        if self.test_resize < self.image_size:
            raise UsageError(
                "test_resize is smaller than image_size",
                found=f"{self.test_resize} < {self.image_size}",
                expected="at least as large",
            )
        low, high = self.crop_area if len(self.crop_area) == 2 else (1.0, 0.0)
        if not 0 < low <= high <= 1:
            raise UsageError(
                "crop_area is not a range", found=str(self.crop_area), expected="[low, high] with 0 < low <= high <= 1"
            )
        if self.head not in HEADS and not is_plugin(self.head):
            raise UsageError("head has an unknown value", found=repr(self.head), expected=near_names(self.head, HEADS))
        for key in ("loss", "augmentation"):
            if getattr(self, key) and not is_plugin(getattr(self, key)):
                raise UsageError(
                    f"{key} does not name code", found=getattr(self, key), expected="file.py:name or package.module:name"
                )
        if self.loss and self.has_values:
            raise UsageError("a custom loss is one of each sample", found=f"{self.challenge}", expected="EXPR or AU")
        if len(self.head_strides) != 2 or any(stride not in (1, 2) for stride in self.head_strides):
            raise UsageError("head_strides is not a pair of strides", found=str(self.head_strides), expected="two of 1 and 2")
        if self.weights_second is not None and self.weights_second_part is None:
            raise UsageError(
                "weights_second is given without weights_second_part",
                found=self.weights_second,
                expected="the part of the backbone it is for",
            )
        self._refuse_what_concordance_has_not()
        if self.weights_head and (self.weights in (None, "builtin") or self.weights_part is not None):
            raise UsageError(
                "weights_head takes a whole trained classifier",
                found=f"weights {self.weights}, weights_part {self.weights_part}",
                expected="its file as weights (--weights FILE), and no part",
            )
        if self.weights_classes is not None and not self.weights_head:
            raise UsageError("weights_classes is the class order of a head that is not taken", remedy="set weights_head as well")
        if self.iterations == 0 and not self.weights_head:
            raise UsageError("without a step nothing is trained", found="iterations 0", remedy="set weights_head, or more steps")

    @property
    def has_values(self) -> bool:
        """Whether values are learned, whose loss is one of the whole batch."""
        return not challenge_named(self.challenge).integral

    def _refuse_what_concordance_has_not(self) -> None:
        """The concordance of a batch of values is neither a sum over its parts nor defined for two labels at once."""
        for key, off in (("accumulate", 1), ("mixup", 0), ("cutmix", 0)):
            if self.has_values and getattr(self, key) != off:
                raise UsageError(
                    f"{key} is for classes and units: the concordance of values is one of the whole batch",
                    found=f"{key} {getattr(self, key):g} for {self.challenge}",
                    expected=f"{key} {off}",
                )

    @property
    def lora_scale(self) -> float:
        """The factor of what low-rank adaptation learns: alpha / rank."""
        return self.lora_alpha / self.lora if self.lora and self.lora_alpha else 1.0

    def network_arguments(self) -> dict[str, Any]:
        """The arguments of models.classifier.build that these settings mean, but for the number of classes."""
        spatial = {"strides": (self.head_strides[0], self.head_strides[1]), "hidden": self.head_width}
        return {
            "backbone": self.backbone,
            "head": self.head,
            "seed": self.seed,
            "image_size": self.image_size,
            "backbone_options": {} if self.normalise == "backbone" else {"normalisation": self.normalise},
            "head_options": spatial if self.head == "spatial" else {},
        }


load = Recipe.load
names = Recipe.names
