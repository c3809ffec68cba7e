"""The loss that a recipe with labels asks for."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import UsageError
from harness.kinds.parts import Parts
from harness.recipes.settings import LabelledRecipe
from harness.training.losses.parts import ClassOptions, LossOptions, PartsLoss, RealOptions, UnitOptions


def criterion_of(parts: Parts, recipe: LabelledRecipe, class_weights: Sequence[float] = ()) -> PartsLoss:
    """The losses of the parts that a recipe asks for; `class_weights` (C,) are those by which samples of each class count.

    Raises UsageError for part_weights that are not one for each part.
    """
    options = LossOptions(
        ClassOptions(smoothing=recipe.label_smoothing, weights=tuple(class_weights), focus=recipe.class_focus),
        UnitOptions(active_focus=recipe.active_focus, inactive_focus=recipe.inactive_focus, margin=recipe.inactive_margin),
        RealOptions(squared_error=recipe.squared_error),
        tuple(recipe.part_weights),
    )
    try:
        return PartsLoss(parts, options)
    except ValueError as error:
        raise UsageError(f"part_weights does not fit: {error}") from error
