"""ContraWarping: global transformations make positives, random local warps make negatives of the same image.

Xue, Sun and Yang, "Unsupervised Facial Expression Representation Learning with Contrastive Local Warping", arXiv 2303.09034. From
its abstract: expression is robust to global transformations and easily changed by random local warping; the former give positive
pairs, which general self-supervised learning such as BYOL can use, the latter negative pairs. The full text could not be had, so
the loss, its weight and the warps are our reading: BYOL's loss, and InfoNCE of each prediction between the other view's target
and the targets of warped versions of the same image. Other images are no negatives: identity and background give nothing away.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.backbones.base import Backbone
from models.ssl.byol import BYOL, symmetric_loss
from models.ssl.diagnostics import feature_deviation, mean_similarity
from models.ssl.views import VIEW_UNIFORMS, ViewSettings
from models.ssl.warp import LocalWarp


def warp_loss(predictions: Tensor, positives: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """InfoNCE of predictions (B, E) between positives (B, E) and the negatives (B, K, E) of the same image, mean over the batch.

    -log(e^(cos(p, z+) / t) / (e^(cos(p, z+) / t) + sum_k e^(cos(p, z-_k) / t))).
    """
    predictions, positives, negatives = (F.normalize(vectors.float(), dim=-1) for vectors in (predictions, positives, negatives))
    positive = (predictions * positives).sum(dim=1, keepdim=True)
    negative = (predictions.unsqueeze(1) * negatives).sum(dim=2)
    logits = torch.cat([positive, negative], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))


class ContraWarping(BYOL):
    """BYOL plus `weight` times InfoNCE against locally warped versions of the same image; with weight 0 it is BYOL, bit for bit.

    Parameters
    ----------
    weight : of the warp loss (lambda).
    temperature : of the warp loss.
    warps : warped versions per image.
    warp : how the warps are drawn.
    same_view : the first warped version has the global transformation of the second view, so that only the warp tells them apart;
        otherwise each has its own.
    negatives_online : gradients flow through the warped versions too, which the online network then embeds.
    other parameters : see BYOL.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        weight: float = 1.0,
        temperature: float = 0.2,
        warps: int = 1,
        warp: LocalWarp | None = None,
        same_view: bool = False,
        negatives_online: bool = False,
        hidden: int | None = 4096,
        embedding: int = 256,
        momentum: float = 0.996,
        views: ViewSettings | None = None,
    ) -> None:
        super().__init__(backbone, hidden=hidden, embedding=embedding, momentum=momentum, views=views)
        if weight < 0 or temperature <= 0 or warps < 1:
            raise ValueError(
                f"weight {weight} must not be negative, temperature {temperature} and warps {warps} must be positive"
            )
        self.weight = weight
        self.temperature = temperature
        self.warps = warps if weight > 0 else 0
        self.warp = warp or LocalWarp()
        self.same_view = same_view
        self.negatives_online = negatives_online
        self.uniforms += self.warps * (VIEW_UNIFORMS + self.warp.uniforms)

    def make_views(self, images: Tensor, uniforms: Tensor, landmarks: Tensor | None = None) -> tuple[Tensor, ...]:
        """Views one and two, and then the warped versions."""
        views = super().make_views(images, uniforms)
        warped = []
        for index in range(self.warps):
            start = 2 * VIEW_UNIFORMS + index * (VIEW_UNIFORMS + self.warp.uniforms)
            own, drawing = uniforms[:, start : start + VIEW_UNIFORMS], uniforms[:, start + VIEW_UNIFORMS :]
            if self.same_view and index == 0:
                own = uniforms[:, VIEW_UNIFORMS : 2 * VIEW_UNIFORMS]
            warps = self.warp.draw(drawing[:, : self.warp.uniforms], landmarks)
            warped.append(self.view(images, own, first=False, displacement=warps.displace))
        return (*views, *warped)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        if self.warps == 0:
            return super().forward(*views)
        features, predictions, targets = self._both_ways(views)
        negatives = torch.stack([self._negative(view) for view in views[2:]], dim=1)
        positive = symmetric_loss(predictions, targets)
        contrast = warp_loss(predictions[0], targets[1], negatives, self.temperature)
        contrast = contrast + warp_loss(predictions[1], targets[0], negatives, self.temperature)
        return {
            "loss": positive + self.weight * contrast,
            "positive_loss": positive.detach(),
            "warp_loss": contrast.detach(),
            "positive_similarity": mean_similarity(predictions[0], targets[1]),
            "warped_similarity": mean_similarity(predictions[0], negatives[:, 0]),
            "feature_deviation": feature_deviation(features),
        }

    def _negative(self, view: Tensor) -> Tensor:
        """The embedding (B, E) of a warped version."""
        if not self.negatives_online:
            return self._target_of(view)
        embedding: Tensor = self.online(view)[1]
        return embedding
