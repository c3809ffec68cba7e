"""ContraWarping: global transformations make positives, random local warps make negatives of the same image.

Xue, Sun and Yang, "Unsupervised Facial Expression Representation Learning with Contrastive Local Warping", arXiv 2303.09034. From
its abstract: expression is robust to global transformations and easily changed by random local warping; the former give positive
pairs, which general self-supervised learning such as BYOL can use, the latter negative pairs. The full text could not be had, so
the loss, its weight and the warps are our reading: BYOL's loss, and an InfoNCE in which every version of a face, as it is or
warped, has to be found again in another view among the versions of the same face. Other faces are no negatives: identity and
background give nothing away. Neither does anything else but the warp, because all versions are seen under the same draw of
transformations and by the same network in the same pass.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.backbones.base import Backbone
from models.ssl.base import Partners
from models.ssl.byol import BYOL, symmetric_loss
from models.ssl.diagnostics import feature_deviation, mean_similarity
from models.ssl.views import VIEW_UNIFORMS, ViewSettings
from models.ssl.warp import LocalWarp


class Contrast(NamedTuple):
    """What telling the versions of a face apart came to, V versions of it.

    Attributes
    ----------
    losses : (V,), the mean InfoNCE over the batch of each version as the query; ln V where nothing tells versions apart.
    won : share of the queries whose own version is nearest of all, those equally near sharing one; 1 / V where nothing tells
        versions apart.
    """

    losses: Tensor
    won: Tensor


def contrast_versions(predictions: Tensor, targets: Tensor, temperature: float) -> Contrast:
    """Each version of an image is looked for among all versions of that image: predictions of one view, targets of another.

    Both are (B, V, E). The loss of query v is -log(e^(cos(p_v, z_v) / t) / sum_u e^(cos(p_v, z_u) / t)).
    """
    predictions, targets = F.normalize(predictions.float(), dim=2), F.normalize(targets.float(), dim=2)
    similarity = predictions @ targets.mT  # (B, queries, versions)
    losses = -F.log_softmax(similarity / temperature, dim=2).diagonal(dim1=1, dim2=2).mean(dim=0)
    nearest = similarity.detach() == similarity.detach().amax(dim=2, keepdim=True)
    won = nearest.diagonal(dim1=1, dim2=2) / nearest.sum(dim=2)
    return Contrast(losses, won.mean())


class ContraWarping(BYOL):
    """BYOL of faces as they are, plus `weight` times the contrast of their versions; with weight 0 it is BYOL, bit for bit.

    A view comes in 1 + `warps` versions, first the face as it is. Each version of view one is looked for in view two and the
    other way round, as each view predicts the other in BYOL. The mean over versions is added up over both ways.

    The loss of each version each way is ln(1 + `warps`) exactly while the target embeds all versions of a face alike or the
    predictor gives nothing (its last layer is 0), and about that with random weights. Where the trained network cannot tell
    versions apart, or the target cannot, their mean is never below it.

    Parameters
    ----------
    weight : of the warp loss (lambda).
    temperature : of the warp loss.
    warps : warped versions per image.
    warp : how the warps are drawn. Of magnitude 0 it leaves nothing to tell apart: the warp loss has no gradient then.
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
        self.uniforms += self.warps * self.warp.uniforms

    def make_views(
        self, images: Tensor, uniforms: Tensor, landmarks: Tensor | None = None, partners: Partners | None = None
    ) -> tuple[Tensor, ...]:
        """Views one and two, and the same two views of each warped version; partners are warped alike, at their landmarks."""
        first, second = uniforms[:, :VIEW_UNIFORMS], uniforms[:, VIEW_UNIFORMS : 2 * VIEW_UNIFORMS]
        views = [*super().make_views(images, uniforms, partners=partners)]
        for version in range(self.warps):
            start = 2 * VIEW_UNIFORMS + version * self.warp.uniforms
            numbers = uniforms[:, start : start + self.warp.uniforms]
            warps = self.warp.draw(numbers, landmarks)
            theirs = warps if partners is None else self.warp.draw(numbers, partners.landmarks)
            others = images if partners is None else partners.images
            views += [
                self.view(images, first, first=True, displacement=warps.displace),
                self.view(others, second, first=False, displacement=theirs.displace),
            ]
        return tuple(views)

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        if self.warps == 0:
            return super().forward(*views)
        # All versions in one pass, so that BatchNorm treats them as one.
        features, predictions, targets = self._both_ways((torch.cat(views[0::2]), torch.cat(views[1::2])))
        first, second = (self._by_version(embedding) for embedding in predictions)
        target_first, target_second = (self._by_version(embedding) for embedding in targets)
        positive = symmetric_loss((first[:, 0], second[:, 0]), (target_first[:, 0], target_second[:, 0]))
        one_way = contrast_versions(first, target_second, self.temperature)
        other_way = contrast_versions(second, target_first, self.temperature)
        contrast = one_way.losses.mean() + other_way.losses.mean()
        unwarped, warped = self._by_version(features)[:, :2].unbind(dim=1)
        return {
            "loss": positive + self.weight * contrast,
            "positive_loss": positive.detach(),
            "warp_loss": contrast.detach() / 2,
            "won": (one_way.won + other_way.won) / 2,
            "positive_similarity": mean_similarity(first[:, 0], target_second[:, 0]),
            "warped_similarity": mean_similarity(unwarped, warped),
            "feature_deviation": feature_deviation(unwarped),
        }

    def _by_version(self, stacked: Tensor) -> Tensor:
        """Vectors (V * B, E), version by version, as (B, V, E)."""
        return stacked.view(1 + self.warps, -1, stacked.shape[1]).transpose(0, 1)
