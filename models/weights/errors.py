"""What can be wrong with a weights file."""

from __future__ import annotations


class WeightsError(ValueError):
    """A weights file that cannot be read, or that does not fit.

    Attributes
    ----------
    problem : what is wrong, in one sentence.
    found, expected : what the file holds and what it should hold.
    remedy : what to do next.
    """

    def __init__(self, problem: str, *, found: str | None = None, expected: str | None = None, remedy: str | None = None) -> None:
        self.problem = problem
        self.found = found
        self.expected = expected
        self.remedy = remedy
        parts = [problem]
        for label, text in (("found", found), ("expected", expected), ("what to do", remedy)):
            if text is not None:
                parts.append(f"{label}: {text}")
        super().__init__("\n  ".join(parts))
