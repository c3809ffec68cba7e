"""A training's state as safetensors and JSON: weights, what else the objective keeps, optimizer, gradient scaler. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as as_bytes
from torch import Tensor

from harness import files
from harness.errors import DataError

MODEL = "model.safetensors"
EXTRA = "extra.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"


def save(
    directory: Path,
    exported: Mapping[str, Tensor],
    extra: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
    metadata: Mapping[str, str],
) -> None:
    """Writes the state into `directory`. Raises DataError naming the tensor if a weight is not finite."""
    for name, tensor in exported.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise DataError(
                f"the weight {name!r} is not finite: the checkpoint is not saved",
                path=directory.parent,
                remedy="the training diverged: lower learning_rate, or use precision: fp32; earlier checkpoints are whole",
            )
    tensors, plain = _flatten(optimizer)
    _save_tensors(directory / MODEL, exported, metadata)
    for name, group in ((EXTRA, extra), (OPTIMIZER, tensors)):
        if group:  # safetensors cannot read back a file without any tensor
            _save_tensors(directory / name, group, {})
    files.write_json(directory / STATE, {"optimizer": plain, "scaler": scaler.state_dict() if scaler is not None else {}})


def _save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # One metadata entry: safetensors writes several in an order that changes from process to process.
    text = json.dumps(dict(metadata), sort_keys=True)
    files.write_bytes(path, as_bytes(ready, metadata={"harness": text}))


def _flatten(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state as named tensors `index.key` and plain values."""
    tensors, plain = {}, {}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{key}"] = value
            elif value is not None:
                plain[f"{index}.{key}"] = value
    return tensors, plain


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in a safetensors file, none where there is no such file. Raises DataError naming the file if it is damaged."""
    if not path.exists():
        return {}
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"not a safetensors file: {error}", path=path) from error


def load_optimizer(directory: Path, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler | None) -> None:
    """Puts a saved state into the optimizer and the scaler, on the devices of the parameters."""
    plain = files.read_json(directory / STATE)
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**load_tensors(directory / OPTIMIZER), **plain["optimizer"]}.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    if scaler is not None and plain["scaler"]:
        scaler.load_state_dict(plain["scaler"])
