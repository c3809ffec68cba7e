"""MAE: a vision transformer sees a quarter of the patches, a small decoder paints the others (He et al., CVPR 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.backbones.base import Backbone
from models.backbones.vit import EPSILON, Block, VisionTransformer, initialise_transformer
from models.ssl.base import Partners, PretrainingMethod
from models.ssl.diagnostics import feature_deviation
from models.ssl.views import CROP_AND_FLIP, VIEW_UNIFORMS, ViewSettings

VARIANCE_EPSILON = 1e-6
"""Added to a patch's variance when its pixels are normalised."""


def patches_of(images: Tensor, size: int) -> Tensor:
    """Patches (B, N, size * size * 3) of images (B, 3, H, W), row by row; within a patch row, column, channel."""
    batch, channels, height, width = images.shape
    grid = images.reshape(batch, channels, height // size, size, width // size, size)
    return grid.permute(0, 2, 4, 3, 5, 1).reshape(batch, (height // size) * (width // size), size * size * channels)


def sine_positions(side: int, width: int) -> Tensor:
    """Fixed position embeddings (side * side, width): sines and cosines of the column, then of the row (appendix A.1)."""
    frequencies = 1 / 10000 ** (torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angles = torch.arange(side, dtype=torch.float64).unsqueeze(1) * frequencies
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    columns, rows = waves.repeat(side, 1), waves.repeat_interleave(side, dim=0)
    return torch.cat([columns, rows], dim=1).float()


class MAE(PretrainingMethod):
    """MAE: mean squared error on the masked patches, each patch's pixels normalised.

    `forward` takes views (B, 3, H, W) and a number per patch (B, N): the patches with the lowest numbers are seen. The backbone's
    position embeddings are the fixed sines of the paper and are not trained here.

    Parameters
    ----------
    backbone : a VisionTransformer.
    mask : share of the patches that is hidden.
    decoder_width, decoder_depth, decoder_heads : of the decoder.
    views : the transformations.
    """

    decoder_positions: Tensor

    def __init__(
        self,
        backbone: Backbone,
        *,
        mask: float = 0.75,
        decoder_width: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
        views: ViewSettings = CROP_AND_FLIP,
    ) -> None:
        super().__init__(views)
        if not isinstance(backbone, VisionTransformer):
            raise ValueError("MAE hides patches of a vision transformer: choose the backbone vit-b16")
        if not 0 < mask < 1:
            raise ValueError(f"a share of {mask} of the patches cannot be hidden; it lies between 0 and 1")
        self.transformer = backbone
        self.kept = max(1, int(backbone.patches * (1 - mask)))
        self.uniforms = VIEW_UNIFORMS + backbone.patches
        self.decoder_embed = nn.Linear(backbone.width, decoder_width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_width))
        self.decoder_blocks = nn.ModuleList(Block(decoder_width, decoder_heads, 4 * decoder_width) for _ in range(decoder_depth))
        self.decoder_norm = nn.LayerNorm(decoder_width, eps=EPSILON)
        self.decoder_pred = nn.Linear(decoder_width, backbone.patch_size**2 * 3)
        side = backbone.image_size // backbone.patch_size
        self.register_buffer("decoder_positions", _with_class_token(sine_positions(side, decoder_width)))
        with torch.no_grad():
            backbone.pos_embed.copy_(_with_class_token(sine_positions(side, backbone.width)))
        backbone.pos_embed.requires_grad_(False)
        nn.init.normal_(self.mask_token, std=0.02)
        for module in (self.decoder_embed, self.decoder_blocks, self.decoder_pred):
            initialise_transformer(module)

    @property
    def backbone(self) -> Backbone:
        return self.transformer

    def make_views(
        self, images: Tensor, uniforms: Tensor, landmarks: Tensor | None = None, partners: Partners | None = None
    ) -> tuple[Tensor, ...]:
        """One view and the numbers of its patches; there is no second one for `partners`."""
        return self.view(images, uniforms[:, :VIEW_UNIFORMS], first=True), uniforms[:, VIEW_UNIFORMS:]

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        images, noise = views
        order = noise.argsort(dim=1, stable=True)
        restore = order.argsort(dim=1)
        encoded = self._encode(images, order[:, : self.kept])
        painted = self._decode(encoded, restore)
        target = patches_of(images.float(), self.transformer.patch_size)
        mean, variance = target.mean(dim=2, keepdim=True), target.var(dim=2, keepdim=True)
        target = (target - mean) / (variance + VARIANCE_EPSILON).sqrt()
        error = (painted.float() - target).square().mean(dim=2)
        hidden = (restore >= self.kept).float()
        return {"loss": (error * hidden).sum() / hidden.sum(), "feature_deviation": feature_deviation(encoded[:, 1:].mean(dim=1))}

    def _encode(self, images: Tensor, kept: Tensor) -> Tensor:
        """Class token and seen patches (B, 1 + kept, width) after the backbone."""
        tokens = self.transformer.embed(images)
        tokens = tokens.gather(1, kept.unsqueeze(2).expand(-1, -1, tokens.shape[2]))
        tokens = self.transformer.prepend_class_token(tokens)
        for block in self.transformer.blocks:
            tokens = block(tokens)
        encoded: Tensor = self.transformer.norm(tokens)
        return encoded

    def _decode(self, encoded: Tensor, restore: Tensor) -> Tensor:
        """Painted patches (B, N, pixels) of all places, the hidden ones filled with the mask token first."""
        tokens = self.decoder_embed(encoded)
        batch, places = restore.shape
        hidden = self.mask_token.to(tokens.dtype).expand(batch, places - self.kept, -1)
        patches = torch.cat([tokens[:, 1:], hidden], dim=1)
        patches = patches.gather(1, restore.unsqueeze(2).expand(-1, -1, patches.shape[2]))
        tokens = torch.cat([tokens[:, :1], patches], dim=1) + self.decoder_positions
        for block in self.decoder_blocks:
            tokens = block(tokens)
        painted: Tensor = self.decoder_pred(self.decoder_norm(tokens))[:, 1:]
        return painted


def _with_class_token(positions: Tensor) -> Tensor:
    """Positions (1, 1 + N, C) of (N, C), that of the class token 0."""
    return torch.cat([torch.zeros(1, positions.shape[1]), positions]).unsqueeze(0)
