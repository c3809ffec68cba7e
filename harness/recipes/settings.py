"""What every recipe is: typed settings in one flat YAML file, their common keys, and how files and texts become them.

Unknown and duplicate keys and wrong values are refused with their line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints

import yaml

from harness import files
from harness.errors import DataError, UsageError, near_names
from harness.recipes import plugins

LARGEST_RECIPE = 256 * 1024
BASE = "base"
"""The key by which a recipe file names the recipe whose settings it changes; it is no setting itself."""
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


def default_of(entry: Field[Any]) -> Any:
    """The default of a recipe key."""
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


def changed(key: str, default: Any, **rules: Any) -> Any:
    """The common key `key` with another default and, by the names of `setting`'s arguments, other rules."""
    return setting(default, **{**BaseRecipe.__dataclass_fields__[key].metadata, **rules})


@dataclass(frozen=True)
class BaseRecipe:
    """The settings that every kind of training has.

    `FOLDER` is where recipes of a kind lie below harness/recipes; `RETIRED` are keys that stand in run.json of earlier
    versions and say nothing any more, with what is so in every case instead.
    """

    FOLDER: ClassVar[str] = ""
    RETIRED: ClassVar[Mapping[str, str]] = {}

    crops: str = setting("cropped_aligned", "which crops to read: cropped_aligned, cropped, or a folder")
    batch: int = setting(128, "images per step, over all processes", lowest=2)
    iterations: int = setting(8000, "number of steps", lowest=1)
    optimizer: str = setting("sgd", "sgd or adamw", ("sgd", "adamw"))
    learning_rate: float = setting(5e-3, "highest learning rate", lowest=0)
    momentum: float = setting(0.9, "momentum of SGD", lowest=0, highest=1)
    betas: list[float] = setting([0.9, 0.999], "decays of AdamW's two running means")
    weight_decay: float = setting(0.01, "weight decay", lowest=0)
    warmup: int = setting(100, "steps of linear warm-up", lowest=0)
    clip_gradient: float = setting(0.0, "largest norm of the gradient; 0 does not clip", lowest=0)
    precision: str = setting(
        "auto",
        "auto takes bf16 where the hardware computes in it, else fp16 on a GPU and fp32 on a CPU; resolved once per run",
        ("auto", "fp32", "bf16", "fp16"),
    )
    checkpoint_every: int = setting(1000, "steps between checkpoints", lowest=1)
    seed: int = setting(0, "seed of initial weights, draws, order and augmentation", lowest=0, highest=2**31 - 1)

    def __post_init__(self) -> None:
        """Refuses combinations that cannot be meant. Raises UsageError."""
        check_pair("betas", self.betas, 0.0, LARGEST_BETA, ascending=False)

    @classmethod
    def names(cls) -> list[str]:
        """The recipes of this kind that come with the harness."""
        return sorted(entry.name.removesuffix(".yaml") for entry in cls._place().iterdir() if entry.name.endswith(".yaml"))

    @classmethod
    def _place(cls) -> Traversable:
        return resources.files("harness.recipes") / cls.FOLDER

    @classmethod
    def locate(cls, name: str) -> Path:
        """The file of a recipe, by name or by path. Raises UsageError with a near name if there is none."""
        if name in cls.names():
            with resources.as_file(cls._place() / f"{name}.yaml") as path:
                return path
        path = Path(name)
        if path.suffix in (".yaml", ".yml") and path.is_file():
            return path
        raise UsageError(
            f"unknown recipe {name!r}", expected=near_names(name, cls.names()), remedy="name one of these or a .yaml file"
        )

    @classmethod
    def load(cls, name: str, changes: Mapping[str, str] | None = None) -> Self:
        """Reads a recipe by name or path, then applies `changes` (key -> text as it would stand in the file).

        A recipe may name another of its kind as `base`, whose settings it changes; that one may have no base of its own. Code in
        a file is looked for beside the recipe that names it, or in the working folder where `changes` name it.
        """
        changed = located_code(parse_changes(changes or {}, cls), Path())
        path = cls.locate(name)
        values = cls._read(path)
        base = values.pop(BASE, None)
        if base is None:
            return cls(**{**values, **changed})
        beside = path.parent / base
        base_path = beside if beside.is_file() and base not in cls.names() else cls.locate(base)
        below = cls._read(base_path)
        if BASE in below:
            raise UsageError(
                "the base of a recipe has a base itself",
                path=path,
                found=f"{base}, whose base is {below[BASE]}",
                expected="one level",
            )
        return cls(**{**below, **values, **changed})

    @classmethod
    def _read(cls, path: Path) -> dict[str, Any]:
        return located_code(parse(files.read_bytes(path, LARGEST_RECIPE), str(path), cls), path.parent)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> Self:
        """A recipe from the plain values stored in run.json; an absent one is the default, a retired one is left out."""
        known = {key: _coerce(key, value, source, None, cls) for key, value in values.items() if key not in cls.RETIRED}
        return cls(**{**cls.defaults(known), **known})

    @classmethod
    def defaults(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the keys that are not among `values` are, as plain values."""
        return cls().as_dict()

    @classmethod
    def without_effect(cls, values: Mapping[str, Any]) -> frozenset[str]:
        """The keys that change nothing where the others are these `values`."""
        return frozenset()

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values, every key present."""
        return asdict(self)


@dataclass(frozen=True)
class LabelledRecipe(BaseRecipe):
    """The settings that trainings with labels have besides."""

    about: str = setting("", "one line on what this recipe is")
    decay_everything: bool = setting(True, "whether biases and normalisation parameters decay as well, as published")
    warmup_from: float = setting(0.1, "share of the learning rate at the first step of the warm-up", lowest=0, highest=1)
    lowest_learning_rate: float = setting(1e-5, "where the cosine ends", lowest=0)
    label_smoothing: float = setting(0.0, "share of the target spread over all classes", lowest=0, highest=0.999)
    validate_missing: bool = setting(
        True, "whether labelled frames without a face count in validation while training (imputed); the published code drops them"
    )
    evaluate_every: int = setting(4000, "steps between validations (and checkpoints)", lowest=1)

    challenge: str = setting(
        "EXPR",
        "what is learned: EXPR, VA (values), AU (units), MTL (all three), or CE (compound expressions, from extra faces alone)",
        ("EXPR", "VA", "AU", "MTL", "CE"),
        added=True,
    )
    part_weights: list[float] = setting(
        [], "how much each part's loss counts: valence, arousal, expression, units as far as there are; [] is alike", added=True
    )
    class_focus: float = setting(0.0, "gamma of the focal loss of classes, 0 or at least 1", lowest=0, added=True)
    active_focus: float = setting(0.0, "gamma+ of the asymmetric loss of units, 0 or at least 1", lowest=0, added=True)
    inactive_focus: float = setting(0.0, "gamma- of the asymmetric loss of units, 0 or at least 1", lowest=0, added=True)
    inactive_margin: float = setting(
        0.0, "by how much the probability of an inactive unit is lowered", lowest=0, highest=0.999, added=True
    )
    squared_error: float = setting(
        0.0, "share of the mean squared error in the loss of a value; the rest is 1 - CCC", lowest=0, highest=1, added=True
    )
    logit_adjustment: float = setting(
        0.0,
        "factor of the logarithms of the class shares that are added to the outputs while training; 1 learns for classes of "
        "equal frequency, 0 is off",
        lowest=0,
        added=True,
    )
    unit_weights: list[float] = setting([], "how much each unit counts, in the order of the header; [] is alike", added=True)
    active_weights: str = setting(
        "none",
        "how much the active frames of a unit count; balanced: as much as its inactive ones together; or a number for each unit, "
        "with commas; none is alike",
        added=True,
    )

    def __post_init__(self) -> None:
        """Refuses combinations that cannot be meant. Raises UsageError."""
        super().__post_init__()
        for key in ("class_focus", "active_focus", "inactive_focus"):
            if 0 < getattr(self, key) < 1:
                raise UsageError(f"{key} has no gradient everywhere", found=str(getattr(self, key)), expected="0, or at least 1")
        numbers_of("active_weights", self.active_weights)
        for key in ("part_weights", "unit_weights"):
            if any(number < 0 or not math.isfinite(number) for number in getattr(self, key)):
                raise UsageError(f"{key} is out of range", found=str(getattr(self, key)), expected="numbers from 0 on")


BALANCED = "balanced"
"""The word for weights by how often what they weigh is seen."""


def numbers_of(key: str, text: str) -> list[float]:
    """The numbers with commas that a recipe key holds; none for `none` and `balanced`. Raises UsageError for anything else."""
    if text in ("none", BALANCED):
        return []
    words = [word.strip() for word in text.split(",")]
    numbers = [float(word) if NUMBER.fullmatch(word) else math.nan for word in words]
    if not all(0 <= number < math.inf for number in numbers):
        raise UsageError(
            f"{key} has an unknown value", found=repr(text), expected=f"none, {BALANCED}, or numbers from 0 on with commas"
        )
    return numbers


def located_code(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Settings with the files of code that they name, if any, where they lie from `folder`."""
    named = {key: plugins.located(values[key], folder) for key in plugins.KEYS if plugins.is_plugin(values.get(key))}
    return {**values, **named}


def check_pair(key: str, values: list[float], low: float, high: float, *, ascending: bool) -> None:
    """Raises UsageError unless `values` are two numbers from `low` to `high`, the first not above the second if `ascending`."""
    good = len(values) == 2 and all(low <= value <= high for value in values) and (not ascending or values[0] <= values[1])
    if not good:
        order = ", in ascending order" if ascending else ""
        raise UsageError(f"{key} is out of range", found=str(values), expected=f"two numbers from {low:g} to {high:g}{order}")


def parse_changes(changes: Mapping[str, str], kind: type) -> dict[str, Any]:
    """Changes (key -> text as it would stand in a recipe file) as checked values of the settings `kind`."""
    return {
        key: _coerce(key, _parse_text(text, f"--set {key}"), f"--set {key}={text}", None, kind) for key, text in changes.items()
    }


def _parse_text(text: str, source: str) -> Any:
    try:
        node = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError("not a YAML value", path=source, found=text) from error
    return None if node is None else _construct(node, source, None)


class _Plain(str):
    """A value without quotes, as it is written; what it means says the type of its key.

    YAML 1.1 reads `010` as 8, `1_000` as 1000, `1:30` as 90, `5e-3` as text and `no` as false; a recipe means what it looks like.
    """


WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
NUMBER = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan")
TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
MISREAD = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class _Loader(yaml.SafeLoader):
    """A SafeLoader without aliases, which could blow a small file up to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed in a recipe", event.start_mark)
        return super().compose_node(parent, index)


def parse(data: bytes, source: str, kind: type) -> dict[str, Any]:
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
            raise DataError(f"the key {key!r} occurs twice", path=source, line=line, remedy="keep one of the two lines")
        value = _construct(value_node, source, line)
        if key == BASE:
            if not isinstance(value, str):
                raise UsageError("base does not name a recipe", path=source, line=line, found=repr(value))
            values[key] = str(value)
        else:
            values[key] = _coerce(key, value, source, line, kind)
    return values


def _construct(node: yaml.Node, source: str, line: int | None) -> Any:
    """The value of a scalar, or of a flat list of scalars: None, text, or what stands there without quotes."""
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
    return _Plain(node.value) if node.style is None and value is not None else value


def _coerce(key: str, value: Any, source: str, line: int | None, kind: Any) -> Any:
    """`value` as the type its key wants."""
    known = {entry.name: entry for entry in fields(kind)}
    if key in kind.RETIRED:
        raise UsageError(
            f"{key} is no longer a setting", path=source, line=line, expected=kind.RETIRED[key], remedy="leave it out"
        )
    if key not in known:
        raise UsageError(f"unknown key {key!r}", path=source, line=line, expected=near_names(key, list(known)))
    hint = get_type_hints(kind)[key]
    try:
        typed = _as_type(value, hint)
    except ValueError as error:
        remedy = f"{key} wants {_type_name(hint)} in plain decimal digits: programs disagree on 010, 1_000 and 1:30"
        raise UsageError(
            f"{key} has a value of the wrong kind",
            path=source,
            line=line,
            found=repr(value),
            expected=_type_name(hint),
            remedy=remedy if isinstance(value, _Plain) and _is_number_of_yaml(value) else None,
        ) from error
    rules = known[key].metadata
    is_code = key in plugins.KEYS and plugins.is_plugin(typed)
    if rules["choices"] and typed not in rules["choices"] and not is_code:
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
        if isinstance(value, _Plain) and value.lower() in TRUTH:
            return TRUTH[value.lower()]
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, _Plain) and WHOLE.fullmatch(value):
            return int(value)
    elif hint is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, str) and NUMBER.fullmatch(value):
            return float(value.replace(".inf", "inf").replace(".nan", "nan"))
    elif isinstance(value, str):
        return str(value)
    raise ValueError(f"not {hint}")


def _is_number_of_yaml(text: str) -> bool:
    tag = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return tag in MISREAD


def _type_name(hint: Any) -> str:
    if get_origin(hint) is list:
        return f"a list of {_type_name(get_args(hint)[0])}"
    options = [option for option in get_args(hint) if option is not type(None)]
    if options:
        return f"{_type_name(options[0])} or null"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}.get(hint, str(hint))


def explain(recipe: BaseRecipe) -> list[tuple[str, str, str]]:
    """Every key of a recipe, its value as YAML, and what it means: what it is and what is trained, then the common keys."""
    common = [entry.name for entry in fields(BaseRecipe)]
    return [
        (
            entry.name,
            yaml.safe_dump(getattr(recipe, entry.name), default_flow_style=True).splitlines()[0],
            entry.metadata["meaning"],
        )
        for entry in sorted(fields(recipe), key=lambda entry: (entry.name != "about", entry.name in common))
    ]
