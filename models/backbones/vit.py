"""Vision transformer blocks (Dosovitskiy et al., ICLR 2021) and ViT-B/16, with the parameter names of timm and MAE."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones.base import Backbone, Stages
from models.backbones.drop_path import set_rates

EPSILON = 1e-6
"""Of LayerNorm, as in the published vision transformers (torch's default is 1e-5)."""


class Attention(nn.Module):
    """Multi-head self-attention with the scale (width of a head) ** -0.5."""

    def __init__(self, width: int, heads: int, *, qkv_bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width, bias=qkv_bias)
        self.proj = nn.Linear(width, width)

    def split(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (B, heads, N, width / heads) of tokens (B, N, width)."""
        batch, count, _ = tokens.shape
        queries, keys, values = self.qkv(tokens).reshape(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return queries, keys, values

    def join(self, values: Tensor) -> Tensor:
        """The projection (B, N, width) of what the heads gathered, (B, heads, N, width / heads)."""
        joined: Tensor = self.proj(values.transpose(1, 2).flatten(2))
        return joined

    def forward(self, tokens: Tensor) -> Tensor:
        queries, keys, values = self.split(tokens)
        return self.join(F.scaled_dot_product_attention(queries, keys, values, scale=self.scale))


class MLP(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return out


class Block(nn.Module):
    """Pre-norm transformer block: tokens (B, N, width) to tokens of the same shape.

    It has no dropout; its two branches may be left out for some samples, see drop_path.
    """

    def __init__(self, width: int, heads: int, hidden: int, *, qkv_bias: bool = True) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.attn = Attention(width, heads, qkv_bias=qkv_bias)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = MLP(width, hidden)
        self.drop_path1: nn.Module = nn.Identity()
        self.drop_path2: nn.Module = nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.drop_path1(self.attn(self.norm1(tokens)))
        out: Tensor = tokens + self.drop_path2(self.mlp(self.norm2(tokens)))
        return out


class PatchEmbedding(nn.Module):
    """A patch to a token: images (B, 3, H, W) to tokens (B, patches, width), row by row."""

    def __init__(self, patch_size: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch_size, stride=patch_size)

    def forward(self, images: Tensor) -> Tensor:
        tokens: Tensor = self.proj(images).flatten(2).transpose(1, 2)
        return tokens


class VisionTransformer(Backbone):
    """ViT: (B, 3, 224, 224) to 1 class token and the patch tokens, (B, 1 + (224 / 16) ** 2, width), after the last LayerNorm.

    Each block is a stage; the embedding belongs to the first, the last norm to the last. Block, as everywhere here, without
    dropout or stochastic depth.
    """

    def __init__(self, image_size: int, patch_size: int, width: int, depth: int, heads: int) -> None:
        if image_size % patch_size:
            raise ValueError(f"an image of {image_size} pixels is not a whole number of patches of {patch_size}")
        stages: Stages = {f"block{block}": (f"blocks.{block - 1}",) for block in range(1, depth + 1)}
        stages["block1"] = ("patch_embed", "cls_token", "pos_embed", *stages["block1"])
        stages[f"block{depth}"] = (*stages[f"block{depth}"], "norm")
        super().__init__(stages, image_size=image_size, has_class_token=True)
        self.patch_size = patch_size
        self.width = width
        self.patches = (image_size // patch_size) ** 2
        self.patch_embed = PatchEmbedding(patch_size, width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.patches, width))
        self.blocks = nn.ModuleList(Block(width, heads, 4 * width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        initialise_transformer(self)

    def decay_layers(self) -> list[list[str]]:
        """The embeddings, then each block, the norm with the last, as timm counts them."""
        names = [name for name, _ in self.named_parameters()]
        blocks = [[name for name in names if name.startswith(f"blocks.{block}.")] for block in range(len(self.blocks))]
        blocks[-1] += [name for name in names if name.startswith("norm.")]
        inside = {name for block in blocks for name in block}
        return [[name for name in names if name not in inside], *blocks]

    def embed(self, images: Tensor) -> Tensor:
        """Patch tokens with their position, (B, patches, width)."""
        tokens: Tensor = self.patch_embed(images) + self.pos_embed[:, 1:]
        return tokens

    def prepend_class_token(self, tokens: Tensor) -> Tensor:
        """The class token with its position before the patch tokens, (B, 1 + N, width)."""
        token = (self.cls_token + self.pos_embed[:, :1]).expand(len(tokens), -1, -1)
        return torch.cat([token, tokens], dim=1)

    def run_stage(self, stage: str, features: Tensor) -> Tensor:
        if stage == "block1":
            features = self.prepend_class_token(self.embed(features))
        features = self.blocks[self.stages.index(stage)](features)
        return self.norm(features) if stage == self.stages[-1] else features


def initialise_transformer(network: nn.Module) -> None:
    """Linear layers and patch projections truncated normal with deviation 0.02, their biases 0, as timm."""
    for module in network.modules():
        if isinstance(module, nn.Linear | PatchEmbedding):
            layer = module.proj if isinstance(module, PatchEmbedding) else module
            nn.init.trunc_normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def build_b16(image_size: int = 224, drop_path: float = 0.0) -> VisionTransformer:
    """ViT-B/16, 85,798,656 parameters; `drop_path` is the rate of the last block's branches."""
    network = VisionTransformer(image_size, patch_size=16, width=768, depth=12, heads=12)
    set_rates(list(network.blocks), drop_path)
    return network
