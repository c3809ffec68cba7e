"""A recipe: every setting of a training, in one flat YAML file. Unknown and duplicate keys and wrong values are refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from harness import files
from harness.errors import DataError, UsageError, near_names

LARGEST_RECIPE = 256 * 1024
LARGEST_BETA = math.nextafter(1, 0)
"""AdamW's decays lie below 1."""


def setting(
    default: Any,
    meaning: str,
    choices: tuple[str, ...] | None = None,
    lowest: float | None = None,
    highest: float | None = None,
    added: bool = False,
) -> Any:
    """A recipe key: its default, what it means, and what is allowed.

    An absent key equals its default, in a file, in run.json, and where two runs are compared. `added` marks a key that the first
    run.json did not have: it is recorded only where it differs from its default, so that a new key neither strands the runs in
    progress nor changes a byte of what is written without it. Every key that comes from here on is `added`.
    """
    metadata = {"meaning": meaning, "choices": choices, "lowest": lowest, "highest": highest, "added": added}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Recipe:
    """The settings of one supervised training. The defaults are those of the paper's published Res-50 configuration."""

    about: str = setting("", "one line on what this recipe is")
    paper_f1: float | None = setting(None, "macro-F1 x 100 the paper reports for this system on the official validation set")

    backbone: str = setting("res50", "network that turns an image into a feature map; `harness recipes --backbones` lists them")
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
        "spatial", "spatial: two 2x2 convolutions, flatten, linear; pooled: global average, linear", ("spatial", "pooled")
    )
    head_width: int = setting(256, "channels of the spatial head's convolutions (paper, section 3.2)", lowest=1)
    head_strides: list[int] = setting(
        [1, 2], "strides of the spatial head's convolutions: [1, 2] as the published code, [2, 2] as the paper says"
    )
    freeze_stages: int = setting(2, "how many first stages keep their weights and statistics; 0 trains everything", lowest=0)

    crops: str = setting("cropped_aligned", "which crops to read: cropped_aligned, cropped, or a folder")
    decode_size: int = setting(112, "side in pixels to which a worker resizes images of another size", lowest=8, highest=1024)
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
    validate_missing: bool = setting(
        True, "whether labelled frames without a face count in validation while training (imputed); the published code drops them"
    )
    balance: str = setting(
        "copies",
        "repeat factor r = max(1, sqrt(balance_threshold / share)) per class; copies: ceil(r) each, as published; "
        "fractional: r on average; none",
        ("copies", "fractional", "none"),
    )
    balance_threshold: float = setting(0.15, "share below which a class is repeated", lowest=0, highest=1)

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

    batch: int = setting(128, "images per step, over all processes", lowest=2)
    iterations: int = setting(8000, "number of steps; 0 makes a run of a trained classifier as it is (weights_head)", lowest=0)
    optimizer: str = setting("sgd", "sgd or adamw", ("sgd", "adamw"))
    learning_rate: float = setting(5e-3, "highest learning rate", lowest=0)
    momentum: float = setting(0.9, "momentum of SGD", lowest=0, highest=1)
    betas: list[float] = setting([0.9, 0.999], "decays of AdamW's two running means")
    weight_decay: float = setting(0.01, "weight decay", lowest=0)
    decay_everything: bool = setting(True, "whether biases and normalisation parameters decay as well, as published")
    backbone_rate: float = setting(1.0, "learning rate of the backbone as a multiple of the head's", lowest=0)
    warmup: int = setting(100, "steps of linear warm-up", lowest=0)
    warmup_from: float = setting(0.1, "share of the learning rate at the first step of the warm-up", lowest=0, highest=1)
    lowest_learning_rate: float = setting(1e-5, "where the cosine ends", lowest=0)
    clip_gradient: float = setting(0.0, "largest norm of the gradient; 0 does not clip", lowest=0)
    label_smoothing: float = setting(0.0, "share of the target spread over all classes", lowest=0, highest=0.999)
    average: float = setting(
        0.0, "decay per step of a running average of the weights that predicts in their place; 0 is off", lowest=0
    )
    precision: str = setting(
        "auto",
        "auto takes bf16 where the hardware computes in it, else fp16 on a GPU and fp32 on a CPU; resolved once per run",
        ("auto", "fp32", "bf16", "fp16"),
    )
    loss_scale: float = setting(
        0.0, "fp16 alone: factor of the loss against underflow, kept throughout; 0 finds and follows one", lowest=0
    )

    evaluate_every: int = setting(4000, "steps between validations (and checkpoints)", lowest=1)
    checkpoint_every: int = setting(1000, "steps between checkpoints", lowest=1)
    validation_step: int = setting(1, "every how many frames are scored in validations while training", lowest=1)
    seed: int = setting(0, "seed of initial weights, draws, order and augmentation", lowest=0, highest=2**31 - 1)

    def __post_init__(self) -> None:
        """Refuses combinations that cannot be meant. Raises UsageError."""
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
        check_pair("betas", self.betas, 0.0, LARGEST_BETA, ascending=False)
        if len(self.head_strides) != 2 or any(stride not in (1, 2) for stride in self.head_strides):
            raise UsageError("head_strides is not a pair of strides", found=str(self.head_strides), expected="two of 1 and 2")
        if self.weights_second is not None and self.weights_second_part is None:
            raise UsageError(
                "weights_second is given without weights_second_part",
                found=self.weights_second,
                expected="the part of the backbone it is for",
            )
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

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values, every key present."""
        return asdict(self)


def check_pair(key: str, values: list[float], low: float, high: float, *, ascending: bool) -> None:
    """Raises UsageError unless `values` are two numbers from `low` to `high`, the first not above the second if `ascending`."""
    good = len(values) == 2 and all(low <= value <= high for value in values) and (not ascending or values[0] <= values[1])
    if not good:
        order = ", in ascending order" if ascending else ""
        raise UsageError(f"{key} is out of range", found=str(values), expected=f"two numbers from {low:g} to {high:g}{order}")


def names(folder: str = "") -> list[str]:
    """The recipes that come with the harness; of another kind than frame-wise training those in its `folder`."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _place(folder).iterdir() if entry.name.endswith(".yaml"))


def _place(folder: str) -> Traversable:
    place = resources.files("harness.recipes")
    return place / folder if folder else place


def locate(name: str, folder: str = "") -> Path:
    """The file of a recipe, by name or by path. Raises UsageError with a near name if there is none."""
    if name in names(folder):
        with resources.as_file(_place(folder) / f"{name}.yaml") as path:
            return path
    path = Path(name)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path
    known = names(folder)
    raise UsageError(f"unknown recipe {name!r}", expected=near_names(name, known), remedy="name one of these or a .yaml file")


def load(name: str, changes: Mapping[str, str] | None = None) -> Recipe:
    """Reads a recipe by name or path, then applies `changes` (key -> text as it would stand in the file)."""
    return Recipe(**load_values(name, changes or {}))


def load_values(name: str, changes: Mapping[str, str], kind: type = Recipe, folder: str = "") -> dict[str, Any]:
    """The checked values of a recipe of any kind, by name (in `folder`) or path, with `changes` applied."""
    path = locate(name, folder)
    return {**parse(files.read_bytes(path, LARGEST_RECIPE), str(path), kind), **parse_changes(changes, kind)}


def parse_changes(changes: Mapping[str, str], kind: type = Recipe) -> dict[str, Any]:
    """Changes (key -> text as it would stand in a recipe file) as checked values of the settings `kind`."""
    return {
        key: _coerce(key, _parse_text(text, f"--set {key}"), f"--set {key}={text}", None, kind) for key, text in changes.items()
    }


def from_dict(values: Mapping[str, Any], source: str) -> Recipe:
    """A recipe from the plain values stored in run.json."""
    return Recipe(**checked(values, source))


def checked(values: Mapping[str, Any], source: str, kind: type = Recipe) -> dict[str, Any]:
    """Plain values of the settings `kind`, each as the type its key wants."""
    return {key: _coerce(key, value, source, None, kind) for key, value in values.items()}


def _parse_text(text: str, source: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError("not a YAML value", path=source, found=text) from error


class _Loader(yaml.SafeLoader):
    """A SafeLoader without aliases, which could blow a small file up to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed in a recipe", event.start_mark)
        return super().compose_node(parent, index)


def parse(data: bytes, source: str, kind: type = Recipe) -> dict[str, Any]:
    """The keys of a recipe file and their values, checked. Raises DataError or UsageError with the 1-based line.

    `kind` is the dataclass of settings that the file is for.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError("not UTF-8 text", path=source, expected="a recipe in YAML") from error
    try:
        document = yaml.compose(text, Loader=_Loader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise DataError("a character that a recipe cannot hold", path=source, line=line, found=repr(error.character)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise DataError(f"not YAML: {problem}", path=source, line=None if mark is None else mark.line + 1) from error
    except RecursionError as error:
        raise DataError("nested too deeply", path=source, expected="a flat recipe") from error
    if document is None:
        return {}
    if not isinstance(document, yaml.MappingNode):
        raise DataError("not a recipe", path=source, line=1, expected="lines `key: value`")
    values: dict[str, Any] = {}
    for key_node, value_node in document.value:
        line = key_node.start_mark.line + 1
        key = key_node.value
        if not isinstance(key, str):
            raise DataError("a key must be a word", path=source, line=line)
        if key in values:
            raise DataError(f"the key {key!r} stands twice", path=source, line=line, remedy="keep one of the two lines")
        values[key] = _coerce(key, _construct(value_node, source, line), source, line, kind)
    return values


def _construct(node: yaml.Node, source: str, line: int) -> Any:
    """The value of a scalar, or of a flat list of scalars."""
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, source, line) for item in node.value]
    if not isinstance(node, yaml.ScalarNode) or not node.tag.startswith("tag:yaml.org,2002:"):
        raise DataError("a recipe is flat", path=source, line=line, found=node.tag, expected="one value or a list of values")
    loader = yaml.SafeLoader("")
    try:
        value = loader.construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        raise DataError("a value of an unknown kind", path=source, line=line, found=node.tag) from error
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise DataError("text with half a character", path=source, line=line, found=ascii(value), expected="whole characters")
    return value


def _coerce(key: str, value: Any, source: str, line: int | None, kind: Any = Recipe) -> Any:
    """`value` as the type its key wants. YAML reads `5e-3` as text and `no` as False, so types are taken from the key."""
    known = {entry.name: entry for entry in fields(kind)}
    if key not in known:
        raise UsageError(f"unknown key {key!r}", path=source, line=line, expected=near_names(key, list(known)))
    hint = get_type_hints(kind)[key]
    try:
        typed = _as_type(value, hint)
    except ValueError as error:
        raise UsageError(
            f"{key} has a value of the wrong kind", path=source, line=line, found=repr(value), expected=_type_name(hint)
        ) from error
    rules = known[key].metadata
    if rules["choices"] and typed not in rules["choices"]:
        raise UsageError(
            f"{key} has an unknown value",
            path=source,
            line=line,
            found=repr(value),
            expected=near_names(str(value), rules["choices"]),
        )
    if typed is not None and isinstance(typed, (int, float)) and not isinstance(typed, bool):
        low, high = rules["lowest"], rules["highest"]
        if (low is not None and typed < low) or (high is not None and typed > high) or not math.isfinite(typed):
            limits = f"{'' if low is None else f' at least {low}'}{'' if high is None else f' at most {high}'}"
            expected = f"a finite number{limits}"
            raise UsageError(f"{key} is out of range", path=source, line=line, found=repr(value), expected=expected)
    return typed


def _as_type(value: Any, hint: Any) -> Any:
    if get_origin(hint) is list:
        if not isinstance(value, list):
            raise ValueError("not a list")
        return [_as_type(item, get_args(hint)[0]) for item in value]
    options = get_args(hint)
    if options:
        if value is None and type(None) in options:
            return None
        hint = next(option for option in options if option is not type(None))
    if hint is bool:
        if isinstance(value, bool):
            return value
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif hint is float:
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            return float(value)
    elif isinstance(value, str):
        return value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"not {hint}")


def _type_name(hint: Any) -> str:
    if get_origin(hint) is list:
        return f"a list of {_type_name(get_args(hint)[0])}"
    options = [option for option in get_args(hint) if option is not type(None)]
    if options:
        return f"{_type_name(options[0])} or null"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}.get(hint, str(hint))


def explain(recipe: Any) -> list[tuple[str, str, str]]:
    """Every key of a recipe of any kind, its value as YAML, and what it means."""
    return [
        (
            entry.name,
            yaml.safe_dump(getattr(recipe, entry.name), default_flow_style=True).splitlines()[0],
            entry.metadata["meaning"],
        )
        for entry in fields(recipe)
    ]
