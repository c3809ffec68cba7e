"""SIGTERM, Ctrl-C and the end of the launcher: finish the step, save, end; a second Ctrl-C ends at once."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from harness import starter
from harness.errors import EXIT_INTERRUPTED, EXIT_TERMINATED

LAUNCHED = "TORCHELASTIC_RUN_ID"
"""In the environment of a process that torchrun or `accelerate launch` started, one of several."""
STARTED_BY = "HARNESS_STARTED_BY"
"""In the environment of a training that `harness sweep` started: the number of that process."""


class StopRequest:
    """Whether a signal asked this process to stop, and the exit code it then ends with."""

    def __init__(self) -> None:
        self.exit_code: int | None = None

    def __bool__(self) -> bool:
        return self.exit_code is not None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Notes the first signal; a second Ctrl-C raises KeyboardInterrupt here and now."""
        if self.exit_code is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.exit_code = EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_TERMINATED


@contextlib.contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Catches SIGINT and SIGTERM for the block, in a launched process also that its launcher is gone."""
    request = StopRequest()
    earlier = {number: signal.signal(number, request.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    sweep = os.environ.get(STARTED_BY)
    if LAUNCHED in os.environ or sweep is not None:
        # A launcher that ends in order stops what it started. One that is killed would leave processes that train on and hold the
        # run's lock, which nobody sees.
        starter.ask_for_a_signal_at_its_end(signal.SIGTERM)
        if str(os.getppid()) != (sweep or str(starter.FIRST_PARENT)):  # it ended before it could be asked for
            request.handle(signal.SIGTERM, None)
    try:
        yield request
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
