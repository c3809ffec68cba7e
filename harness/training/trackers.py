"""Trackers on request: TensorBoard and others that Accelerate knows are told what is noted; training never depends on them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import tracking

from harness.errors import UsageError, near_names
from harness.runs.store import flat

# Where trackers that write files may write them, in a run's folder; nothing there belongs to what a run is compared by.
PLACE = "trackers"


class Trackers:
    """The trackers of one training; without any, or on other processes than the main one, nothing happens.

    A tracker that cannot be started or breaks is given up with one line of warning: figures are in metrics.jsonl either way.

    Parameters
    ----------
    names : as Accelerate calls them.
    place : the run's folder; its name is the project's.
    settings : of the training; nested ones are told as `outer.inner`.
    say : prints one line.

    Raises UsageError for a name Accelerate does not know.
    """

    def __init__(self, names: Sequence[str], place: Path, settings: Mapping[str, Any], say: Callable[[str], None]) -> None:
        self.say = say
        self._running: dict[str, Any] = {}
        for name in dict.fromkeys(names):
            refuse_unknown(name)
            with self._giving_up(name):
                self._running[name] = _started(name, place, scalars(settings))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Tells every tracker the figures of a step."""
        for name, tracker in list(self._running.items()):
            with self._giving_up(name):
                tracker.log(dict(figures), step=step)

    def finish(self) -> None:
        """Ends every tracker."""
        for name, tracker in list(self._running.items()):
            with self._giving_up(name):
                tracker.finish()
        self._running.clear()

    @contextlib.contextmanager
    def _giving_up(self, name: str) -> Any:
        # Whatever a foreign package raises, SystemExit included, is no reason to lose a training.
        try:
            yield
        except (Exception, SystemExit) as error:
            self._running.pop(name, None)
            reason = (str(error).splitlines() or [""])[0]
            self.say(f"warning: the tracker {name} was given up ({type(error).__name__}: {reason}); training goes on without it")


def refuse_unknown(name: str) -> None:
    """Raises UsageError for a tracker that Accelerate does not know."""
    if name not in tracking.LOGGER_TYPE_TO_CLASS:
        raise UsageError(f"unknown tracker {name!r}", expected=near_names(name, list(tracking.LOGGER_TYPE_TO_CLASS)))


def scalars(settings: Mapping[str, Any]) -> dict[str, int | float | str | bool]:
    """Settings as the plain values that every tracker takes: nested names joined by dots, all else as text."""
    return {key: value if isinstance(value, int | float | str | bool) else str(value) for key, value in flat(settings).items()}


def _started(name: str, place: Path, settings: Mapping[str, Any]) -> Any:
    if name not in [str(known) for known in tracking.get_available_trackers()]:
        raise ModuleNotFoundError(f"its package is not installed: pip install {name.replace('_', '-')}")
    kind = tracking.LOGGER_TYPE_TO_CLASS[name]
    tracker = kind(place.name, str(place / PLACE)) if kind.requires_logging_directory else kind(place.name)
    tracker.start()
    tracker.store_init_configuration(dict(settings))
    return tracker
