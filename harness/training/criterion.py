"""The loss that a recipe with labels asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.errors import UsageError
from harness.kinds.classes import ClassPart
from harness.kinds.parts import Parts
from harness.kinds.units import UnitPart
from harness.recipes.settings import BALANCED, LabelledRecipe, numbers_of
from harness.training.losses.parts import ClassOptions, LossOptions, PartsLoss, RealOptions, UnitOptions


def criterion_of(
    parts: Parts, recipe: LabelledRecipe, prior: Sequence[float], class_weights: Sequence[float] = (), learned: bool = False
) -> PartsLoss:
    """The losses of the parts that a recipe asks for.

    Parameters
    ----------
    prior : (columns,), the class shares and the shares of active frames in what is learned from; see `class_prior`.
    class_weights : (C,), by which samples of each class count.
    learned : whether the weights of the parts are learned besides.

    Raises UsageError for weights that are not one for each part, class or unit, and for an adjustment by classes of which there
    are no frames.
    """
    shares = [share for own in parts.placed if isinstance(own.part, ClassPart) for share in prior[own.columns]]
    active = [share for own in parts.placed if isinstance(own.part, UnitPart) for share in prior[own.columns]]
    unit_weights = tuple(recipe.unit_weights)
    if unit_weights and active and len(unit_weights) != len(active):
        raise UsageError(
            "unit_weights does not fit", found=f"{len(unit_weights)} numbers", expected=f"{len(active)}, one for each unit"
        )
    options = LossOptions(
        ClassOptions(
            smoothing=recipe.label_smoothing,
            weights=tuple(class_weights),
            focus=recipe.class_focus,
            adjustment=_log_shares(parts, shares, recipe.logit_adjustment),
        ),
        UnitOptions(
            weights=unit_weights if active else (),
            active_weights=weights_of("active_weights", recipe.active_weights, [_odds(share) for share in active]),
            active_focus=recipe.active_focus,
            inactive_focus=recipe.inactive_focus,
            margin=recipe.inactive_margin,
        ),
        RealOptions(squared_error=recipe.squared_error),
        tuple(recipe.part_weights),
        learned,
    )
    try:
        return PartsLoss(parts, options)
    except ValueError as error:
        raise UsageError(f"part_weights does not fit: {error}") from error


def weights_by_class(parts: Parts, text: str, prior: Sequence[float]) -> tuple[float, ...]:
    """What the recipe key class_weights says, one number for each class; empty for all alike and where there are no classes.

    Balanced ones are 1 / (C share), so that their mean over the frames is 1; a class without frames has 0.
    """
    shares = [share for own in parts.placed if isinstance(own.part, ClassPart) for share in prior[own.columns]]
    return weights_of("class_weights", text, [1 / (len(shares) * share) if share else 0.0 for share in shares])


def weights_of(key: str, text: str, balanced: Sequence[float]) -> tuple[float, ...]:
    """What the recipe key `key` says in `text`: none, `balanced`, or numbers as many as these. Raises UsageError for others."""
    if not balanced:
        return ()
    numbers = tuple(balanced) if text == BALANCED else tuple(numbers_of(key, text))
    if numbers and len(numbers) != len(balanced):
        raise UsageError(f"{key} does not fit", found=f"{len(numbers)} numbers", expected=f"{len(balanced)}, or {BALANCED}")
    return numbers


def _odds(share: float) -> float:
    """How many inactive frames there are for each active one; 1 where all frames are one or the other."""
    return (1 - share) / share if 0 < share < 1 else 1.0


def _log_shares(parts: Parts, shares: Sequence[float], factor: float) -> tuple[float, ...]:
    if not factor or not shares:
        return ()
    absent = [name for name, share in zip(parts.challenge.class_names, shares, strict=True) if not share]
    if absent:
        raise UsageError(
            "logit_adjustment takes the logarithm of each class's share",
            found=f"no frame of {', '.join(absent)} to learn from",
            expected="labelled frames of every class, or logit_adjustment: 0",
        )
    return tuple(factor * math.log(share) for share in shares)
