"""MoCo v2: a view finds its image's other view among a queue of earlier ones (He et al., CVPR 2020).

With the projection and stronger views of version 2 (Chen et al., arXiv 2003.04297).
Batch shuffling between GPUs, which keeps BatchNorm from giving the answer away, is replaced by synchronised BatchNorm.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.backbones.base import Backbone
from models.ssl.averaging import slow_copy, update_average
from models.ssl.base import PretrainingMethod
from models.ssl.diagnostics import feature_deviation, mean_similarity
from models.ssl.gathering import gather
from models.ssl.projection import Encoder, ProjectionMLP, feature_width
from models.ssl.views import ViewSettings


def queue_loss(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """InfoNCE (equation 1) of queries (B, E) between their keys (B, E) and a queue of others (Q, E), mean over the batch."""
    queries, keys = F.normalize(queries.float(), dim=1), F.normalize(keys.float(), dim=1)
    positive = (queries * keys).sum(dim=1, keepdim=True)
    logits = torch.cat([positive, queries @ queue.T], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))


class MoCo(PretrainingMethod):
    """MoCo v2: queries of view one, keys of view two by a running average of the network.

    Parameters
    ----------
    backbone : what is trained.
    hidden, embedding : widths of the projector; without `hidden` it is as wide as the features.
    queue : number of earlier keys; they start as random directions.
    momentum : of the running average. temperature : of the loss.
    views : the transformations.
    """

    queue: Tensor
    position: Tensor

    def __init__(
        self,
        backbone: Backbone,
        *,
        hidden: int | None = None,
        embedding: int = 128,
        queue: int = 65536,
        momentum: float = 0.999,
        temperature: float = 0.2,
        views: ViewSettings | None = None,
    ) -> None:
        # The two views are drawn alike: blur for half of them, no solarization (SimCLR, appendix A; MoCo v2, section 3).
        super().__init__(views or ViewSettings(blur=(0.5, 0.5), solarize=(0.0, 0.0)))
        width = feature_width(backbone)
        self.query_encoder = Encoder(backbone, ProjectionMLP(width, hidden or width, embedding, batch_norm=False))
        self.key_encoder = slow_copy(self.query_encoder)
        self.momentum = momentum
        self.temperature = temperature
        self.register_buffer("queue", F.normalize(torch.randn(queue, embedding), dim=1))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))

    @property
    def backbone(self) -> Backbone:
        return self.query_encoder.backbone

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        features, queries = self.query_encoder(views[0])
        with torch.no_grad():
            keys = self.key_encoder(views[1])[1]
        loss = queue_loss(queries, keys, self.queue.clone(), self.temperature)
        if self.training:
            self._enqueue(F.normalize(keys.float(), dim=1))
        return {
            "loss": loss,
            "positive_similarity": mean_similarity(queries, keys),
            "feature_deviation": feature_deviation(features),
        }

    def after_step(self, step: int, steps: int) -> None:
        update_average(self.key_encoder, self.query_encoder, self.momentum)

    @torch.no_grad()
    def _enqueue(self, keys: Tensor) -> None:
        """Puts the keys (B, E) of all processes in the place of the oldest."""
        keys = gather(keys)[-len(self.queue) :]
        places = (self.position + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[places] = keys
        self.position.copy_((self.position + len(keys)) % len(self.queue))
