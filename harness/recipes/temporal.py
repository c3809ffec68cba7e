"""The settings of a temporal model on stored features, in flat YAML files as recipes of frame-wise models are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from harness.recipes.settings import LabelledRecipe, changed, setting


@dataclass(frozen=True)
class TemporalRecipe(LabelledRecipe):
    """The settings of one temporal training.

    The defaults are near what teams published: windows of 128 frames, 4 layers, 4 heads, dropout 0.3, Adam at 1e-4 (the EXPR
    entry of Situ in the 5th competition; AIM3-RUC in the 4th), but for a width of 256 instead of 1024, so that a CPU trains it.
    """

    FOLDER: ClassVar[str] = "on_features"

    challenge: str = setting(
        "EXPR",
        "what is learned: EXPR, VA (values), AU (units), MTL (all three) or CE (compound expressions, for labels of your own)",
        ("EXPR", "VA", "AU", "MTL", "CE"),
        added=True,
    )
    model: str = setting(
        "transformer",
        "transformer: self-attention; tcn: dilated convolutions; gru: recurrent, both ways; mlp: each frame alone; or code of "
        "one's own (docs/plugins.md)",
        ("transformer", "tcn", "gru", "mlp"),
    )
    fusion: str = setting(
        "concat",
        "how several sets are joined; concat: side by side; gate: weights for each frame; cross-attention: each asks the others",
        ("concat", "gate", "cross-attention"),
        added=True,
    )
    frames: str = setting(
        "auto",
        "frames of several sets; union: those that any set has; common: those that all have; auto: union, resolved once per run",
        ("auto", "union", "common"),
        added=True,
    )
    set_dropout: float = setting(
        0.0, "probability of taking a set away from a training window where another is there", lowest=0, highest=0.95, added=True
    )
    unit_length: bool = setting(False, "whether each set's normalised vector is scaled to length 1", added=True)
    width: int = setting(256, "channels inside the model", lowest=2)
    layers: int = setting(4, "layers; those of a tcn have dilations 1, 2, 4, ...", lowest=1, highest=24)
    heads: int = setting(4, "transformer and cross-attention: heads of the attention", lowest=1)
    feedforward: int = setting(1024, "transformer: width of the network behind each attention", lowest=1)
    kernel: int = setting(3, "tcn: times a convolution sees, an odd number", lowest=1, highest=63)
    dropout: float = setting(0.3, "probability of dropping a channel of a window, at all its times alike", lowest=0, highest=0.95)

    window: float = setting(4.27, "length of a window in seconds; 4.27 are 128 frames at 30 per second", lowest=0.01)
    hop: float = setting(
        2.13, "seconds from one window to the next in validation and prediction; overlaps are averaged", lowest=0.001
    )
    rate: float | None = setting(
        None,
        "time steps per second in a window; null takes the highest frame rate learned from, at most 30; resolved once per run",
        lowest=0.1,
        highest=1000,
    )
    fps: float | None = setting(
        None, "frame rate of recordings whose rate is unknown; null refuses them", lowest=0.1, highest=1000
    )

    balance: str = setting(
        "weights", "weights: the loss of a class counts max(1, sqrt(balance_threshold / share)) times; none", ("weights", "none")
    )
    balance_threshold: float = setting(0.15, "share below which a class counts more", lowest=0, highest=1)

    crops: str = changed(
        "crops", "cropped_aligned", meaning="which crops say what frames were seen; those of the first feature set by default"
    )
    batch: int = changed("batch", 16, meaning="windows per step, over all processes", lowest=1)
    iterations: int = changed("iterations", 3000)
    optimizer: str = changed("optimizer", "adamw")
    learning_rate: float = changed("learning_rate", 1e-4)
    decay_everything: bool = setting(False, "whether biases and normalisation parameters decay as well")
    lowest_learning_rate: float = setting(1e-6, "where the cosine ends", lowest=0)
    clip_gradient: float = changed("clip_gradient", 5.0)
    precision: str = changed("precision", "fp32")
    evaluate_every: int = setting(500, "steps between validations (and checkpoints)", lowest=1)
    checkpoint_every: int = changed("checkpoint_every", 500)
    seed: int = changed("seed", 0, meaning="seed of initial weights, draws, order and dropout")

    def slots(self) -> int:
        """Time steps in a window, once the rate is resolved."""
        return max(1, round(self.window * self._rate()))

    def hop_slots(self) -> int:
        """Time steps from one window to the next, at most a whole window, so that none is left out."""
        return min(self.slots(), max(1, round(self.hop * self._rate())))

    def _rate(self) -> float:
        assert self.rate is not None, "the rate is resolved when a training begins"
        return self.rate

    def frames_of(self) -> Literal["common", "union"]:
        """Which frames several sets are joined on; a run that does not say is of the time when all sets had to have one."""
        return "union" if self.frames == "union" else "common"

    def network_arguments(self) -> dict[str, Any]:
        """The arguments of models.temporal.build that these settings mean, but for inputs and classes."""
        names = ("seed", "width", "layers", "heads", "feedforward", "kernel", "dropout", "fusion", "set_dropout", "unit_length")
        return {"name": self.model, **{name: getattr(self, name) for name in names}}
