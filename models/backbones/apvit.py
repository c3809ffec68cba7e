"""APViT: IR-50's first three stages and a transformer with attentive pooling (Xue et al., IEEE TAFFC 2022).

Attentive patch pooling keeps the patches of the convolutional map with the largest sum of absolute activations; attentive token
pooling lets a block keep the tokens to which the class token attends most. Neither has parameters or passes a gradient.
Parameter names are those of the published checkpoints (`extractor.…`, `vit.…`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.backbones.base import Backbone, Stages
from models.backbones.drop_path import set_rates
from models.backbones.ir50 import CHANNELS, MEAN, STD, HierarchicalIR50
from models.backbones.vit import EPSILON, Block, initialise_transformer

STRIDE = 8
"""Pixels of the image per patch: three halvings in IR-50."""
EXTRACTOR_STAGES = 3
WIDTH = 768
HEADS = 8
HIDDEN = 2304
KEPT_PATCHES = 160
"""Of 14 x 14 = 196 at 112 pixels."""
KEEP_RATES = (1.0, 1.0, 1.0, 1.0, 0.9, 0.9, 0.9, 0.9)
"""Share of the patch tokens that each block keeps, of those that reach it."""


def keep_highest(tokens: Tensor, scores: Tensor, count: int) -> Tensor:
    """The `count` tokens of (B, N, C) with the highest scores (B, N), in the order in which they stood."""
    kept = scores.topk(count, dim=1).indices.sort(dim=1).values
    return tokens.gather(1, kept.unsqueeze(2).expand(-1, -1, tokens.shape[2]))


class PoolingBlock(Block):
    """A transformer block that keeps `int(N * keep_rate)` of N patch tokens, and the class token.

    A token's score is the sum over heads of the scaled attention logits of the class token's query, before softmax. Tokens are
    dropped after the attention and before the MLP.
    """

    def __init__(self, width: int, heads: int, hidden: int, keep_rate: float) -> None:
        super().__init__(width, heads, hidden, qkv_bias=False)
        self.keep_rate = keep_rate

    def forward(self, tokens: Tensor) -> Tensor:
        queries, keys, values = self.attn.split(self.norm1(tokens))
        logits = queries @ keys.transpose(-2, -1) * self.attn.scale  # (B, heads, N, N)
        tokens = tokens + self.drop_path1(self.attn.join(logits.softmax(dim=-1) @ values))
        if self.keep_rate < 1:
            scores = logits.detach()[:, :, 0, 1:].sum(dim=1)
            kept = keep_highest(tokens[:, 1:], scores, int(scores.shape[1] * self.keep_rate))
            tokens = torch.cat([tokens[:, :1], kept], dim=1)
        out: Tensor = tokens + self.drop_path2(self.mlp(self.norm2(tokens)))
        return out


class PoolingTransformer(nn.Module):
    """The parameters of the transformer half, under their published names."""

    def __init__(self, patches: int) -> None:
        super().__init__()
        self.projs = nn.ModuleList([nn.Conv2d(CHANNELS[EXTRACTOR_STAGES - 1], WIDTH, 1)])
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.cls_pos_embed = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.patch_pos_embed = nn.Parameter(torch.zeros(1, patches, WIDTH))
        self.blocks = nn.ModuleList(PoolingBlock(WIDTH, HEADS, HIDDEN, rate) for rate in KEEP_RATES)
        self.norm = nn.LayerNorm(WIDTH, eps=EPSILON)
        for parameter in (self.cls_token, self.cls_pos_embed, self.patch_pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02)
        initialise_transformer(self)


class APViT(Backbone):
    """APViT: (B, 3, 112, 112) to a class token and the patch tokens that were kept, (B, 1 + 104, 768).

    The stages are the three of IR-50 and then each block; the projection and the embeddings belong to the first block, the last
    norm to the last.
    """

    def __init__(self, image_size: int, kept_patches: int) -> None:
        stages: Stages = {f"extractor{stage}": (f"extractor.body.{stage - 1}",) for stage in range(1, EXTRACTOR_STAGES + 1)}
        stages["extractor1"] = ("extractor.input_layer", *stages["extractor1"])
        blocks: Stages = {f"block{block}": (f"vit.blocks.{block - 1}",) for block in range(1, len(KEEP_RATES) + 1)}
        embeddings = ("vit.projs", "vit.cls_token", "vit.cls_pos_embed", "vit.patch_pos_embed")
        blocks["block1"] = (*embeddings, *blocks["block1"])
        blocks[f"block{len(blocks)}"] = (*blocks[f"block{len(blocks)}"], "vit.norm")
        super().__init__({**stages, **blocks}, image_size=image_size, mean=MEAN, std=STD, has_class_token=True)
        patches = (-(-image_size // STRIDE)) ** 2
        if not 1 <= kept_patches <= patches:
            raise ValueError(f"an image of {image_size} pixels has {patches} patches, so {kept_patches} cannot be kept")
        self.kept_patches = kept_patches
        self.extractor = HierarchicalIR50(image_size, EXTRACTOR_STAGES)
        self.vit = PoolingTransformer(patches)

    def run_stage(self, stage: str, features: Tensor) -> Tensor:
        if stage.startswith("extractor"):
            return super().run_stage(stage, features)
        if stage == "block1":
            features = self._embed(features)
        features = self.vit.blocks[self.stages.index(stage) - EXTRACTOR_STAGES](features)
        return self.vit.norm(features) if stage == self.stages[-1] else features

    def _embed(self, features: Tensor) -> Tensor:
        """Attentive patch pooling: map (B, 256, 14, 14) to tokens (B, 1 + kept patches, 768)."""
        projected = self.vit.projs[0](features)
        scores = projected.detach().abs().sum(dim=1).flatten(1)
        tokens = projected.flatten(2).transpose(1, 2) + self.vit.patch_pos_embed
        tokens = keep_highest(tokens, scores, self.kept_patches)
        class_token = (self.vit.cls_token + self.vit.cls_pos_embed).expand(len(tokens), -1, -1)
        return torch.cat([class_token, tokens], dim=1)


def build(image_size: int = 112, kept_patches: int = KEPT_PATCHES, drop_path: float = 0.0) -> APViT:
    """APViT, 65,204,160 parameters without the classifier; `drop_path` is the rate of the last block's branches."""
    network = APViT(image_size, kept_patches)
    set_rates(list(network.vit.blocks), drop_path)
    return network
