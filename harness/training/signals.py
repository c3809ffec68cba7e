"""SIGTERM and Ctrl-C: finish the step, save, end; a second Ctrl-C ends at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from harness.errors import EXIT_INTERRUPTED, EXIT_TERMINATED


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
    """Catches SIGINT and SIGTERM for the block."""
    request = StopRequest()
    earlier = {number: signal.signal(number, request.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
