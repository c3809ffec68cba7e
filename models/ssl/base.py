"""What every pre-training method is: views of a batch, a loss of the views, and what happens after a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from models.backbones.base import Backbone
from models.ssl.views import VIEW_UNIFORMS, Displacement, ViewSettings, make_view


class Partners(NamedTuple):
    """What view two shows instead of the image of view one: another of the same person, such as a frame nearby in a video.

    Attributes
    ----------
    images : like those of view one, one for each.
    landmarks : theirs.
    """

    images: Tensor
    landmarks: Tensor | None


class PretrainingMethod(nn.Module, ABC):
    """A self-supervised objective with its networks.

    All of its state is in parameters and buffers, so a state dict is complete. It draws no random numbers: views and masks are
    functions of uniform numbers that the caller makes from (seed, step, sample).

    Attributes
    ----------
    views : the global transformations.
    uniforms : uniform numbers in [0, 1) that `make_views` needs per image.
    """

    def __init__(self, views: ViewSettings, uniforms: int = 2 * VIEW_UNIFORMS) -> None:
        super().__init__()
        self.views = views
        self.uniforms = uniforms

    @property
    @abstractmethod
    def backbone(self) -> Backbone:
        """The network that is trained for later use."""

    def make_views(
        self, images: Tensor, uniforms: Tensor, landmarks: Tensor | None = None, partners: Partners | None = None
    ) -> tuple[Tensor, ...]:
        """The inputs of `forward`, on the images' device: two views unless the method says otherwise.

        Parameters
        ----------
        images : uint8 (B, 3, H, W), or float in 0..1.
        uniforms : float (B, self.uniforms) in [0, 1).
        landmarks : float (B, 68, 2), x and y in 0..1 of the image's sides; by default the canonical template of aligned crops.
        partners : what view two shows; by default the same image.
        """
        return (
            self.view(images, uniforms[:, :VIEW_UNIFORMS], first=True),
            self.view(
                images if partners is None else partners.images, uniforms[:, VIEW_UNIFORMS : 2 * VIEW_UNIFORMS], first=False
            ),
        )

    def view(self, images: Tensor, uniforms: Tensor, *, first: bool, displacement: Displacement | None = None) -> Tensor:
        """One view (B, 3, size, size) as the backbone wants it, see views.make_view."""
        backbone = self.backbone
        return make_view(
            images,
            uniforms,
            self.views,
            backbone.image_size,
            backbone.mean,
            backbone.std,
            first=first,
            displacement=displacement,
        )

    @abstractmethod
    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        """`loss`, to be minimised, and detached figures to watch, each a number."""

    def after_step(self, step: int, steps: int) -> None:
        """What follows the optimizer's step number `step` (from 0) of `steps`, such as running averages."""
