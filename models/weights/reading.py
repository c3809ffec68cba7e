"""From a file on disk to named tensors, without running anything that stands in it.

Read are safetensors and what `torch.save` writes. A checkpoint that holds anything beyond tensors, plain Python values and the
harmless metadata of HARMLESS is refused by the name of what it holds; no option changes that.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import re
import struct
import sys
import zipfile
from _compat_pickle import IMPORT_MAPPING
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from models.weights.errors import WeightsError

METADATA_KEY = "harness"
"""The one metadata entry of safetensors files written here, JSON: safetensors writes several entries in no fixed order, and the
same weights must give the same bytes."""
LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""What torch.save wrote at the start of a file before its zip format (torch 1.5 and older)."""
OTHER_KINDS = (
    (
        b"version https://git-lfs",
        "a Git LFS pointer: the file itself was not downloaded",
        "run `git lfs pull` where it came from",
    ),
    (b"/annex/objects", "a git-annex pointer: the file itself was not downloaded", "run `git annex get`"),
    (b"\x89HDF", "an HDF5 (Keras) file", "export the weights as a torch state dict or as safetensors"),
    (b"\x93NUMPY", "a NumPy array", "export the weights as a torch state dict or as safetensors"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"%PDF", "a PDF document", "download the weights again"),
    (
        b"\x80",
        "a bare pickle, which may run code when it is read",
        "ask for the state dict saved by torch.save or as safetensors",
    ),
)
"""First bytes -> what the file is instead of weights, and what to do."""
WRAPPERS = ("state_dict", "model", "model_state_dict", "model_state", "net", "network", "trunk", "teacher", "student", "params")
"""Names under which checkpoints keep the weights, the better first."""
NOT_WEIGHTS = ("optimizer", "optimizer_state_dict", "optim", "scaler", "lr_scheduler", "scheduler", "amp", "loss")
CLASS_KEYS = ("CLASSES", "classes", "class_names")
LONGEST_HEADER = 100_000_000
"""Bytes of a safetensors header beyond which the format's own reader refuses the file."""
DEEPEST = 6
"""Mappings inside mappings that are searched for weights (VISSL has five)."""
LONGEST_VALUE = 200
"""Characters of a metadata value that are kept."""


STANDARD = sys.stdlib_module_names | IMPORT_MAPPING.keys()
"""Packages of the standard library; pickles may call them as Python 2 did, `commands` for `subprocess`."""


def _scalar(dtype: np.dtype[Any], data: bytes | str) -> int | float | bool | complex:
    """A NumPy number in a pickle, rebuilt as a plain one."""
    if dtype.kind not in "biufc":
        raise ValueError(f"a NumPy scalar of type {dtype}")
    raw = data.encode("latin1") if isinstance(data, str) else data
    value: int | float | bool | complex = np.frombuffer(raw, dtype=dtype, count=1)[0].item()
    return value


_NUMBER_TYPES = [type(np.dtype(code)) for code in "?bhilqBHILQefdFD"]
HARMLESS: list[Any] = [
    argparse.Namespace,
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    *dict.fromkeys(_NUMBER_TYPES),
]
"""Metadata beyond plain values that a checkpoint may hold: command-line settings (timm, MAE) and NumPy numbers."""


@dataclass(frozen=True, eq=False)
class WeightsFile:
    """The tensors of a weights file.

    Attributes
    ----------
    name : the file's name without its folder.
    sha256 : of its bytes, in hexadecimal.
    kind : "safetensors", "torch" or "torch (before 1.6)".
    wrapper : where in the checkpoint the tensors stood, "" for the top.
    other_wrappers : other places in the checkpoint with about as many tensors.
    tensors : name -> tensor, as stored.
    metadata : dotted name -> plain value, as text.
    classes : class names in the order of the outputs, if the file names them.
    """

    name: str
    sha256: str
    kind: str
    wrapper: str
    other_wrappers: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    classes: tuple[str, ...] | None


def read(path: str | Path) -> WeightsFile:
    """The tensors in a file. Raises WeightsError naming what the file is instead, or what in it is refused."""
    path = Path(path)
    try:
        _refuse_pipe(path)
        with open(path, "rb") as handle:
            size = handle.seek(0, 2)
            handle.seek(0)
            start = handle.read(512)
            handle.seek(0)
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise WeightsError("no such file") from error
    except OSError as error:
        raise WeightsError(f"cannot read: {error.strerror}") from error
    kind = _kind(start, size)
    if kind == "safetensors":
        tensors, metadata = _read_safetensors(path)
        wrapper: str = ""
        others: tuple[str, ...] = ()
    else:
        if kind == "torch":
            _check_zip(path, size)
        checkpoint = _unpickle(path)
        wrapper, others, tensors = _unwrap(checkpoint)
        metadata = dict(_plain_values(checkpoint)) if isinstance(checkpoint, Mapping) else {}
    for name, tensor in tensors.items():
        _check_tensor(name, tensor)
    return WeightsFile(path.name, digest, kind, wrapper, others, tensors, metadata, _classes(metadata))


def _refuse_pipe(path: Path) -> None:
    """Raises WeightsError for a pipe or a device, which may never begin or never end."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise WeightsError("cannot read: it is a pipe or a device, not a file", expected="safetensors or torch.save")


def _kind(start: bytes, size: int) -> str:
    """What a file is by its first bytes. Raises WeightsError if it is no weights file."""
    if size == 0:
        raise WeightsError("the file is empty", remedy="download it again")
    # First, because the length at its start is any number and so begins like any other kind of file.
    if _is_safetensors(start, size):
        return "safetensors"
    if start.startswith(b"PK\x03\x04"):
        return "torch"
    if start.startswith(LEGACY_MAGIC):
        return "torch (before 1.6)"
    for first_bytes, description, remedy in OTHER_KINDS:
        if start.startswith(first_bytes):
            raise WeightsError(f"not weights but {description}", remedy=remedy)
    if start.lstrip()[:1] == b"<":
        raise WeightsError(
            "not weights but a web page",
            found=start[:60].decode("utf-8", "replace").strip(),
            remedy="download the file itself; drives answer with a page when a link has expired or wants a confirmation",
        )
    if start[257:262] == b"ustar":
        raise WeightsError("not weights but a tar archive", remedy="unpack it first")
    if start.isascii() and b"\0" not in start:
        raise WeightsError("not weights but text", found=ascii(start[:60].decode()))
    raise WeightsError("not a weights file", found=f"first bytes {start[:8].hex()}", expected="safetensors or torch.save")


def _is_safetensors(start: bytes, size: int) -> bool:
    """Whether a file begins with the length of a header, uint64 little-endian, and then the header's opening brace.

    Raises WeightsError if the file ends before the header does.
    """
    if start[8:9] != b"{":
        return False
    (header,) = struct.unpack("<Q", start[:8])
    if header > LONGEST_HEADER:
        return False
    if header > size - 8:
        raise WeightsError(
            "the file is cut off within its header",
            found=f"{size:,} bytes",
            expected=f"more than {header + 8:,} bytes",
            remedy="download it again",
        )
    return True


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as handle:
            metadata: dict[str, str] = handle.metadata() or {}
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, ValueError) as error:
        raise WeightsError(
            f"the safetensors file is damaged or cut off: {error}",
            found=f"{path.stat().st_size:,} bytes",
            remedy="download it again",
        ) from error
    plain: dict[str, Any] = dict(metadata)
    with contextlib.suppress(ValueError, RecursionError):
        ours = json.loads(plain.pop(METADATA_KEY, "{}"))
        plain.update(ours if isinstance(ours, dict) else {})
    return tensors, dict(_plain_values(plain))


def _check_zip(path: Path, size: int) -> None:
    """Raises WeightsError unless the zip is a whole one of torch.save."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise WeightsError(
            "the file is cut off or damaged: a torch checkpoint ends in a list of its parts, which is missing",
            found=f"{size:,} bytes",
            remedy="download it again and compare its size",
        ) from error
    names = [entry.filename for entry in entries]
    if any(name.endswith("constants.pkl") or "/code/" in name for name in names):
        raise WeightsError(
            "a TorchScript program, not weights", remedy="ask for the state dict saved by torch.save or as safetensors"
        )
    if not any(name.endswith("data.pkl") for name in names):
        raise WeightsError("a zip archive without a torch checkpoint", found=", ".join(names[:5]), remedy="unpack it first")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or sum(entry.file_size for entry in entries) > size:
        raise WeightsError("a zip archive that torch.save did not write: its parts are compressed or overlap")


def _unpickle(path: Path) -> Any:
    """The contents of a torch checkpoint, under torch's restricted unpickler with HARMLESS allowed on top."""
    try:
        with torch.serialization.safe_globals(HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # Whatever a damaged or hostile file makes torch raise is the file's fault.
        blocked = re.search(r"GLOBAL ([\w.]+)", str(error))
        if blocked:
            raise WeightsError(
                f"the checkpoint holds {blocked[1]}, which is neither a tensor nor harmless metadata",
                remedy=_remedy_for(blocked[1], path),
            ) from error
        if isinstance(error, EOFError) or "unexpected EOF" in str(error) or "corrupt" in str(error):
            raise WeightsError("the file is cut off or damaged", remedy="download it again") from error
        reason = str(error).split("\n")[0][:LONGEST_VALUE]
        raise WeightsError(f"torch cannot read it as tensors and plain values: {reason}") from error


def _remedy_for(name: str, path: Path) -> str:
    """What to do with a file that holds something of this name: a class of a package is most likely a whole network."""
    package, _, rest = name.partition(".")
    if package in STANDARD or not rest.rpartition(".")[2][:1].isupper():
        return "do not trust it; in a container, take its tensors out and save them as safetensors"
    saved = path.with_name(f"{path.stem}-state.pt")
    line = f"import torch; torch.save(torch.load({str(path)!r}, weights_only=False).state_dict(), {str(saved)!r})"
    return (
        "a whole network was saved, which runs code as it is read. Only where you trust its source, once, with "
        f'{package} as it was then: python -c "{line}"'
    )


def _unwrap(checkpoint: Any) -> tuple[str, tuple[str, ...], dict[str, Tensor]]:
    """The place of the weights in a checkpoint, other places with about as many tensors, and the tensors."""
    if not isinstance(checkpoint, Mapping):
        raise WeightsError("the checkpoint is not a mapping of names to tensors", found=f"a {type(checkpoint).__name__}")
    places = dict(_places(checkpoint, ()))
    if not places:
        raise WeightsError("the checkpoint holds no tensors", found=f"the entries {', '.join(map(str, list(checkpoint)[:10]))}")
    most = max(len(tensors) for tensors in places.values())
    large = [place for place, tensors in places.items() if 2 * len(tensors) >= most]
    best = min(large, key=_preference)
    return ".".join(best), tuple(".".join(place) for place in large if place != best), places[best]


def _preference(place: tuple[str, ...]) -> int:
    last = place[-1] if place else "state_dict"
    return WRAPPERS.index(last) if last in WRAPPERS else len(WRAPPERS)


def _places(value: Mapping[Any, Any], place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """Every mapping in a checkpoint that holds tensors under names."""
    tensors = {name: tensor.detach() for name, tensor in value.items() if isinstance(name, str) and isinstance(tensor, Tensor)}
    if tensors:
        yield place, tensors
    if len(place) < DEEPEST:
        for name, inner in value.items():
            if isinstance(name, str) and name not in NOT_WEIGHTS and isinstance(inner, Mapping):
                yield from _places(inner, (*place, name))


def _plain_values(value: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The numbers and short texts of a checkpoint under dotted names, those of settings and `meta` included."""
    for name, inner in value.items():
        if not isinstance(name, str) or name in NOT_WEIGHTS:
            continue
        inner = vars(inner) if isinstance(inner, argparse.Namespace) else inner
        if isinstance(inner, str | int | float):
            yield f"{prefix}{name}", str(inner)[:LONGEST_VALUE]
        elif isinstance(inner, list | tuple) and 0 < len(inner) <= 100 and all(isinstance(entry, str) for entry in inner):
            yield f"{prefix}{name}", ",".join(inner)
        elif isinstance(inner, Mapping) and prefix.count(".") < 2:
            yield from _plain_values(inner, f"{prefix}{name}.")


def _classes(metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    for name, value in metadata.items():
        if name.rpartition(".")[2] in CLASS_KEYS and "," in value:
            return tuple(entry.strip() for entry in value.split(","))
    return None


def _check_tensor(name: str, tensor: Tensor) -> None:
    """Raises WeightsError for a tensor that is not plainly stored numbers, or not finite."""
    if tensor.is_floating_point() and tensor.element_size() == 1:
        raise WeightsError(
            f"the tensor {name!r} is stored in eight bits", found=str(tensor.dtype), remedy="ask for float32 or float16 weights"
        )
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise WeightsError(f"the tensor {name!r} is sparse, quantised or without data", remedy="ask for dense float weights")
    if tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
        raise WeightsError(f"the tensor {name!r} claims more numbers than are stored", found=f"shape {tuple(tensor.shape)}")
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        raise WeightsError(
            f"the tensor {name!r} holds NaN or infinity", remedy="the training that wrote it broke down; use an older file"
        )
