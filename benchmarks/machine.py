"""On what the figures were measured."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any


def describe(clock: str, rounds: int) -> dict[str, Any]:
    """Processor, cores, memory, versions, how busy the machine is, and how it was measured."""
    import torch

    from harness.images.device import resolve_precision

    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "computes in bf16": computes_in_bf16(),
        "precision auto is": resolve_precision("auto"),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "memory in GB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load before": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "clock": clock,
        "rounds": rounds,
    }


def processor() -> str:
    """What the processor calls itself, with family and model where its name says nothing."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    return f"{fields.get('model name', platform.machine())} (family {fields.get('cpu family')}, model {fields.get('model')})"


def computes_in_bf16() -> bool:
    """Whether the processor has instructions for bf16; without them bf16 is emulated and slower than fp32."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
