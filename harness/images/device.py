"""The Accelerator of a run and the precision it computes in."""

from __future__ import annotations

import ctypes
import functools
import math
import sys

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DynamoBackend, GradientAccumulationPlugin, GradScalerKwargs

from harness.images.launching import refuse_unsupported

# Numbers of glibc's malloc.h, and what switches each off: blocks of their own from the kernel, and giving free memory back to it.
M_MMAP_MAX, NONE = -4, 0
M_TRIM_THRESHOLD, NEVER = -1, 2**31 - 1

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


def scaler_settings(loss_scale: float) -> GradScalerKwargs:
    """How fp16 scales its losses: 0 finds the scale while training; any other is kept, and a step that overflows is left out.

    Kept as by mmcv's Fp16OptimizerHook(loss_scale=512.). torch's scaler has no such mode, so it grows never and shrinks by a
    factor that float32 rounds to 1.
    """
    if loss_scale == 0:
        return GradScalerKwargs()
    return GradScalerKwargs(init_scale=loss_scale, growth_interval=2**31 - 1, backoff_factor=math.nextafter(1, 0))


def make_accelerator(precision: str, loss_scale: float = 0.0) -> Accelerator:
    """The Accelerator for a resolved precision and, in fp16, a loss scale, see scaler_settings.

    Nothing that changes a number is taken from the environment (harness.images.launching). On a CPU only deterministic kernels
    run, so a run can be repeated bit for bit.
    """
    state: dict[str, object] = AcceleratorState._shared_state
    if state and AcceleratorState().mixed_precision != ACCELERATE_PRECISION[precision]:
        # A process may train in one precision and then predict in another; Accelerate holds on to the first it was given.
        AcceleratorState._reset_state()
    refuse_unsupported()
    # Said outright, for Accelerate takes from the environment what it is not told.
    accelerator = Accelerator(
        mixed_precision=ACCELERATE_PRECISION[precision],
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        dynamo_backend=DynamoBackend.NO,
        kwargs_handlers=[scaler_settings(loss_scale)],
    )
    if accelerator.device.type == "cpu":
        keep_freed_memory()
        # As use_deterministic_algorithms(True), which waits seconds for the compiler's settings, too.
        torch.set_deterministic_debug_mode("error")
        # Filling every fresh buffer only helps to find reads of unset memory, and costs a tenth of the time.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return accelerator


@functools.cache
def keep_freed_memory() -> None:
    """Lets this process use the memory of one tensor for the next, for good; does nothing but with glibc.

    Otherwise every large tensor is fetched from the kernel anew, page by page, and given back, batch after batch.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, NONE)
        mallopt(M_TRIM_THRESHOLD, NEVER)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether memory of a GPU or of the machine did not suffice; on a CPU torch raises a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error)


def is_compile_failure(error: RuntimeError) -> bool:
    """Whether torch.compile gave up: no compiler, or a network that it cannot follow."""
    return type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))
