"""What is trained once for each fold of a cross-validation: a recipe that sees images, or one that sees stored features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from harness.data.extra import ExtraFaces
from harness.data.folds import fold_tracks
from harness.data.tracks import DataRoot
from harness.kinds.parts import parts_of
from harness.recipes.recipe import Recipe
from harness.recipes.settings import LabelledRecipe
from harness.recipes.temporal import TemporalRecipe
from harness.runs import features
from harness.runs.features import FeatureSet
from harness.studies.learned_features import learned_here
from harness.training.network import initial_weights
from harness.training.session import Session, Training, settled_decode_size, settled_precision
from harness.training.start import started_network, train
from harness.training.start_temporal import build_network, train_temporal
from harness.training.training_data import TrainingData, with_extra


class FoldTraining(ABC):
    """A training that is carried out once for each fold.

    Attributes
    ----------
    recipe : all settings.
    """

    recipe: LabelledRecipe

    @abstractmethod
    def settled(self, root: DataRoot, session: Session) -> Self:
        """The same with the settings resolved that all folds share, for the run of all folds at the session's path."""

    @abstractmethod
    def data(self, learned: TrainingData) -> TrainingData:
        """What a fold learns from besides the tracks outside of it."""

    @abstractmethod
    def refuse_unbuildable(self, root: DataRoot) -> None:
        """Raises what building the network raises."""

    @abstractmethod
    def made_of(self) -> dict[str, Any]:
        """What run.json says of weights and features."""

    @abstractmethod
    def train(self, root: DataRoot, data: TrainingData, session: Session) -> Training:
        """Trains one fold; goes on where it stopped."""


@dataclass(frozen=True)
class OnImages(FoldTraining):
    """A frame-wise training, from scratch or from the recipe's weights, with extra faces or without."""

    recipe: Recipe
    from_scratch: bool
    extra: ExtraFaces | None = None
    extra_share: float | None = None

    def settled(self, root: DataRoot, session: Session) -> Self:
        """With precision and decode_size."""
        path, fresh, say = session.path, session.fresh, session.say
        recipe = replace(self.recipe, precision=settled_precision(self.recipe.precision, path, fresh, say))
        side = settled_decode_size(recipe.decode_size, recipe.test_resize, root.tracks, path, fresh, say)
        return replace(self, recipe=replace(recipe, decode_size=side))

    def data(self, learned: TrainingData) -> TrainingData:
        """With the extra faces."""
        return learned if self.extra is None else with_extra(learned, self.extra, self.extra_share)

    def refuse_unbuildable(self, root: DataRoot) -> None:
        """Builds the network, its weights loaded."""
        weights = initial_weights(self.recipe, self.from_scratch)
        started_network(self.recipe, parts_of(root.challenge).columns, weights, lambda line: None)

    def made_of(self) -> dict[str, Any]:
        """The weights it starts from."""
        weights = initial_weights(self.recipe, self.from_scratch)
        return {"weights": None if weights is None else weights.provenance}

    def train(self, root: DataRoot, data: TrainingData, session: Session) -> Training:
        """Trains one fold."""
        return train(
            self.recipe,
            root,
            session.path,
            fresh=session.fresh,
            workers=session.workers,
            from_scratch=self.from_scratch,
            say=session.say,
            data=data,
            trackers=session.trackers,
        )


@dataclass(frozen=True)
class OnFeatures(FoldTraining):
    """A training on the stored features of the runs called `names`."""

    recipe: TemporalRecipe
    names: tuple[str, ...]
    sets: tuple[FeatureSet, ...] = ()
    learned: tuple[str, ...] = ()

    def settled(self, root: DataRoot, session: Session) -> Self:
        """With the precision, the feature sets, and which of them were learned from the labels; that is said."""
        precision = settled_precision(self.recipe.precision, session.path, session.fresh, session.say)
        splits = list(dict.fromkeys(track.split for track in fold_tracks(root)))
        sets = features.open_sets(self.names, splits, root.challenge.name)
        learned = learned_here(sets, splits)
        if learned:
            session.say(
                f"warning: the features of {', '.join(learned)} were learned from labels of these very tracks, so the scores "
                "out of fold flatter; features of a frozen backbone or of one trained elsewhere do not"
            )
        return replace(self, recipe=replace(self.recipe, precision=precision), sets=tuple(sets), learned=tuple(learned))

    def data(self, learned: TrainingData) -> TrainingData:
        """Nothing besides."""
        return learned

    def refuse_unbuildable(self, root: DataRoot) -> None:
        """Builds the network."""
        build_network(self.recipe, self._widths(), len(parts_of(root.challenge).columns))

    def _widths(self) -> Sequence[int]:
        return [one.width for one in self.sets]

    def made_of(self) -> dict[str, Any]:
        """The feature sets, and the names of those that were learned from the labels."""
        return {
            "features": [one.as_dict() for one in self.sets],
            "features_learned": list(self.learned),
            "weights": None,
        }

    def train(self, root: DataRoot, data: TrainingData, session: Session) -> Training:
        """Trains one fold."""
        return train_temporal(
            self.recipe,
            root,
            self.names,
            session.path,
            data,
            fresh=session.fresh,
            workers=session.workers,
            say=session.say,
            trackers=session.trackers,
        )
