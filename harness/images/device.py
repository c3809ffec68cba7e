"""The Accelerator of a run and the precision it computes in."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

ACCELERATE_PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def resolve_precision(precision: str) -> str:
    """`auto` as this machine's best: bf16 where the hardware computes in it, else fp16 on a GPU, fp32 on a CPU."""
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if torch.backends.mps.is_available():
        return "fp32"
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if native else "fp32"


def make_accelerator(precision: str) -> Accelerator:
    """The Accelerator for a resolved precision. On a CPU only deterministic kernels run, so a run can be repeated bit for bit."""
    state: dict[str, object] = AcceleratorState._shared_state
    if state and AcceleratorState().mixed_precision != ACCELERATE_PRECISION[precision]:
        # A process may train in one precision and then predict in another; Accelerate holds on to the first it was given.
        AcceleratorState._reset_state()
    accelerator = Accelerator(mixed_precision=ACCELERATE_PRECISION[precision])
    if accelerator.device.type == "cpu":
        torch.use_deterministic_algorithms(True)
        # Filling every fresh buffer only helps to find reads of unset memory, and costs a tenth of the time.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return accelerator
