"""BYOL: a network predicts what a running average of itself says of another view (Grill et al., NeurIPS 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.backbones.base import Backbone
from models.ssl.averaging import momentum_at, slow_copy, update_average
from models.ssl.base import PretrainingMethod
from models.ssl.diagnostics import feature_deviation, mean_similarity
from models.ssl.projection import Encoder, ProjectionMLP, feature_width
from models.ssl.views import ViewSettings


def regression_loss(predictions: Tensor, targets: Tensor) -> Tensor:
    """Mean of 2 - 2 cos(p, z) over the rows of (B, E) and (B, E): the squared distance of the normalised vectors (equation 2)."""
    return (2 - 2 * F.cosine_similarity(predictions.float(), targets.float(), dim=1)).mean()


def symmetric_loss(predictions: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor]) -> Tensor:
    """The regression loss of each view's prediction with the other view's target, added up."""
    return regression_loss(predictions[0], targets[1]) + regression_loss(predictions[1], targets[0])


class BYOL(PretrainingMethod):
    """BYOL: views one and two (B, 3, H, W) each predict the target's embedding of the other; the loss is the sum of both ways.

    Parameters
    ----------
    backbone : what is trained.
    hidden, embedding : widths of projector and predictor; without `hidden` they are as wide as the features.
    momentum : of the target at the first step; it rises to 1 along a cosine.
    views : the transformations.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        hidden: int | None = 4096,
        embedding: int = 256,
        momentum: float = 0.996,
        views: ViewSettings | None = None,
    ) -> None:
        super().__init__(views or ViewSettings())
        width = feature_width(backbone)
        hidden = hidden or width
        self.online = Encoder(backbone, ProjectionMLP(width, hidden, embedding))
        self.predictor = ProjectionMLP(embedding, hidden, embedding)
        self.target = slow_copy(self.online)
        self.momentum = momentum

    @property
    def backbone(self) -> Backbone:
        return self.online.backbone

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        features, predictions, targets = self._both_ways(views)
        return {
            "loss": symmetric_loss(predictions, targets),
            "positive_similarity": mean_similarity(predictions[0], targets[1]),
            "feature_deviation": feature_deviation(features),
        }

    def after_step(self, step: int, steps: int) -> None:
        update_average(self.target, self.online, momentum_at(step, steps, self.momentum))

    def _both_ways(self, views: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Features (B, D) of view one, and predictions and targets (B, E) of views one and two."""
        (features, first), (_, second) = self._predict(views[0]), self._predict(views[1])
        return features, (first, second), (self._target_of(views[0]), self._target_of(views[1]))

    def _predict(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, D) of the online backbone and the prediction (B, E)."""
        features, embedding = self.online(view)
        return features, self.predictor(embedding)

    @torch.no_grad()
    def _target_of(self, view: Tensor) -> Tensor:
        """The target's embedding (B, E), without gradient."""
        embedding: Tensor = self.target(view)[1]
        return embedding
