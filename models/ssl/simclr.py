"""SimCLR: two views of an image find each other among the views of all images in the batch (Chen et al., ICML 2020)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.backbones.base import Backbone
from models.ssl.base import PretrainingMethod
from models.ssl.diagnostics import feature_deviation, mean_similarity
from models.ssl.gathering import gather, processes
from models.ssl.projection import Encoder, ProjectionMLP, feature_width
from models.ssl.views import ViewSettings


def nt_xent_loss(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """The normalised temperature-scaled cross entropy (equation 1 and algorithm 1) of embeddings (B, E) and (B, E).

    Each embedding must find that of its image's other view among the 2B - 1 others. Under several processes all of their images
    are candidates and the loss is the mean over this process's own.
    """
    first, second = F.normalize(first.float(), dim=1), F.normalize(second.float(), dim=1)
    world, rank = processes()
    batch = len(first)
    candidates = torch.cat([gather(first), gather(second)])  # (2 * world * B, E)
    own = torch.arange(batch, device=first.device) * world + rank
    anchors = torch.cat([own, own + world * batch])
    partners = torch.cat([own + world * batch, own])
    logits = torch.cat([first, second]) @ candidates.T / temperature
    logits = logits.scatter(1, anchors.unsqueeze(1), float("-inf"))
    return F.cross_entropy(logits, partners)


class SimCLR(PretrainingMethod):
    """SimCLR on views one and two (B, 3, H, W).

    Parameters
    ----------
    backbone : what is trained.
    hidden, embedding : widths of the projector; without `hidden` it is as wide as the features.
    temperature : of the loss.
    views : the transformations.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        hidden: int | None = 2048,
        embedding: int = 128,
        temperature: float = 0.2,
        views: ViewSettings | None = None,
    ) -> None:
        # The two views are drawn alike: blur for half of them, no solarization (SimCLR, appendix A; MoCo v2, section 3).
        super().__init__(views or ViewSettings(blur=(0.5, 0.5), solarize=(0.0, 0.0)))
        width = feature_width(backbone)
        self.encoder = Encoder(backbone, ProjectionMLP(width, hidden or width, embedding))
        self.temperature = temperature

    @property
    def backbone(self) -> Backbone:
        return self.encoder.backbone

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        (features, first), (_, second) = self.encoder(views[0]), self.encoder(views[1])
        return {
            "loss": nt_xent_loss(first, second, self.temperature),
            "positive_similarity": mean_similarity(first, second),
            "feature_deviation": feature_deviation(features),
        }
