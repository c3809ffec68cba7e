"""Paired rounds: the sides of a comparison take turns, so that whatever else the machine does falls on all of them alike."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping

LEAST_ROUNDS = 7

Clock = Callable[[], float]


def processor_time() -> float:
    """Seconds of processor time of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "processor": processor_time}

Prepare = Callable[[], None]


def alternate(
    rounds: int, clock: Clock, sides: Mapping[str, Callable[[], float]], prepare: Mapping[str, Prepare] | None = None
) -> dict[str, list[float]]:
    """Units of work per second of each side in each round.

    A side does one round of work and returns how many units that was. Every second round runs the sides in reverse order.
    `prepare` is called before a side, outside of its time. One round before the first is thrown away.
    """
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(-1, rounds):
        order = list(sides) if number % 2 else list(sides)[::-1]
        for name in order:
            if prepare and name in prepare:
                prepare[name]()
            begin = clock()
            units = sides[name]()
            rates[name].append(units / max(clock() - begin, 1e-9))
    return {name: values[1:] for name, values in rates.items()}


def ratios(over: list[float], under: list[float]) -> list[float]:
    """The quotient of two sides, round by round."""
    return [a / b for a, b in zip(over, under, strict=True)]
