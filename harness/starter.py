"""The process that started this one: what was launched as one of several ends when its launcher is gone."""

from __future__ import annotations

import os

FIRST_PARENT = os.getppid()
"""The process that started this one. Whoever loses it belongs to another from then on."""
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def ask_for_a_signal_at_its_end(number: int) -> None:
    """Lets the system send this signal when the process that started this one ends, however it ends. Only Linux has this."""
    import ctypes

    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, number)
