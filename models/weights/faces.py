"""Networks of faces that entrants take features of, told by the names and shapes of their tensors, with what to do with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

WITHOUT_NETWORK = (
    "no backbone here has its layers: name its authors' class as code of your own (docs/plugins.md), whose names these are then, "
    "or store its features and take them with `harness import --features`"
)


@dataclass(frozen=True)
class FaceNetwork:
    """A network of faces by the names of its tensors.

    Attributes
    ----------
    name : what it is called, and by whom.
    advice : which backbone takes it, or what to do where none does.
    signatures : patterns of whole names, each of which some tensor has.
    """

    name: str
    advice: str
    signatures: tuple[str, ...]

    def is_of(self, names: Iterable[str]) -> bool:
        """Whether tensors of these names may be of it."""
        names = [name.removeprefix("module.") for name in names]
        return all(any(re.fullmatch(pattern, name) for name in names) for pattern in self.signatures)


FACE_NETWORKS = (
    FaceNetwork(
        "DDAMFN, as MT-DDAMFN: a mixed MobileFaceNet under two-directional attention (Zhang et al. 2023)",
        WITHOUT_NETWORK,
        (r"features\.0\.conv\.weight", r"cat_head0\.CoordAtt\.conv1\.weight"),
    ),
    FaceNetwork(
        "a MobileFaceNet or its mixed form, which DDAMFN starts from",
        WITHOUT_NETWORK,
        (r"conv2_dw\.conv\.weight", r"conv_6_sep\.conv\.weight"),
    ),
    FaceNetwork(
        "an EfficientNet under timm's names, as EmotiEffLib's EmotiEffNet",
        "timm's tf_ networks pad as TensorFlow does, which no file says; EmotiEffNet is one of them",
        (r"conv_stem\.weight", r"conv_head\.weight", r"blocks\.0\.0\.se\.conv_reduce\.weight"),
    ),
    FaceNetwork(
        "a masked autoencoder under facebookresearch's names, as FMAE and MAE-Face before they are fine-tuned",
        "its encoder is taken and its decoder left out; pixels are normalised as ImageNet's, by the tag "
        ".mae or by --set normalise=imagenet",
        (r"blocks\.0\.attn\.qkv\.weight", r"decoder_embed\.weight"),
    ),
    FaceNetwork(
        "a vision transformer whose norm comes after the mean over its tokens, as FMAE and MAE-Face once they are fine-tuned",
        "all but this norm is taken: here features are normalised before their mean, by a norm that starts as 1 and 0",
        (r"blocks\.0\.attn\.qkv\.weight", r"fc_norm\.weight"),
    ),
)


def face_network(tensors: Mapping[str, Tensor]) -> FaceNetwork | None:
    """The first of FACE_NETWORKS that tensors may be of."""
    return next((network for network in FACE_NETWORKS if network.is_of(tensors)), None)


EFFICIENTNETS = {(1, 1280): "b0", (2, 1280): "b1", (2, 1408): "b2"}
"""Blocks of the first stage of an EfficientNet and width of its last convolution -> what it is called."""


def efficientnets(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """timm's names of the EfficientNets that tensors may be of: with TensorFlow's padding, as EmotiEffNet, and without."""
    head = tensors.get("conv_head.weight")
    if head is None or "blocks.0.0.se.conv_reduce.weight" not in tensors:
        return ()
    depth = len({name.split(".")[2] for name in tensors if name.startswith("blocks.0.")})
    size = EFFICIENTNETS.get((depth, head.shape[0]))
    return () if size is None else (f"timm:tf_efficientnet_{size}.ns_jft_in1k", f"timm:efficientnet_{size}")
