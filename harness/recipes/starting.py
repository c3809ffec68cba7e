"""Which recipe trains a backbone that somebody has weights for, as options of `harness train`."""

from __future__ import annotations

BACKBONE = "backbone.safetensors"
"""The file in the run of a pre-training that holds the backbone to start from."""
RECIPE_OF = {"res18": "res18", "res50": "res50", "ir50": "ir50", "apvit": "apvit-rafdb"}
"""Backbone -> the recipe of it that starts from one file."""
ANY_BACKBONE = "res18"
"""The recipe that suits every backbone when its name is changed: features are pooled, nothing is frozen."""
PART_OPTIONS = {
    "extractor": "--recipe apvit-ms1m --weights {path} --set weights_second=VIT_FILE",
    "vit": "--recipe apvit-ms1m --weights IR50_FILE --set weights_second={path}",
}
"""Part of APViT that a file is for -> the options that start that part from it."""


def train_options(backbone: str, image_size: int, path: str, part: str | None = None) -> str:
    """The options of `harness train` that start `backbone`, or a part of it, from the file at `path`.

    `image_size` is the side in pixels that a backbone without a recipe of its own is for.
    """
    if part is not None:
        return PART_OPTIONS[part].format(path=path)
    if backbone in RECIPE_OF:
        return f"--recipe {RECIPE_OF[backbone]} --weights {path}"
    changes = {"backbone": backbone, "image_size": image_size, "test_resize": image_size}
    return " ".join(
        [f"--recipe {ANY_BACKBONE}", *(f"--set {key}={value}" for key, value in changes.items()), f"--weights {path}"]
    )
