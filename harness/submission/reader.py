"""Reads a submission back into values, which is the inverse of harness.submission.build."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Format
from harness.errors import DataError
from harness.findings import Findings
from harness.submission.checks import check
from harness.submission.expected import Expected


@dataclass(frozen=True, eq=False)
class Answer:
    """A submission that was read: challenge and edition, and the values of each track in the order of the submission.

    `values` holds int8 or float64 arrays: (rows,) for a challenge of one class per frame, else (rows, fields). `frames` holds
    the 1-based number of each row's image, (rows,) int32.
    """

    form: Format
    values: dict[str, NDArray[Any]]
    frames: dict[str, NDArray[np.int32]]


def read(path: str | Path, expected: Expected | None = None, challenge: str | None = None, edition: int | None = None) -> Answer:
    """Reads a submission's folder, one official text file, or an archive of either.

    The arguments are those of harness.submission.checks.check. Raises DataError naming the first error's file and line if the
    submission has any.
    """
    verdict = check(path, expected, challenge, edition)
    _refuse_errors(verdict.findings, Path(path))
    if verdict.form is None:
        raise DataError("not a submission", path=path)
    one_class = len(verdict.form.challenge.fields) == 1
    values = {track: array[:, 0] if one_class else array for track, array in verdict.values.items()}
    return Answer(verdict.form, values, verdict.frames)


def _refuse_errors(findings: Findings, path: Path) -> None:
    errors = [finding for finding in findings if finding.kind.severity == "error"]
    if errors:
        first, number = errors[0], findings.number("error")
        raise DataError(
            f"{first.kind.meaning} ({first.kind.code})" + (f", the first of {number:,} errors" if number > 1 else ""),
            path=path / first.file if path.is_dir() else path,
            line=first.line,
            found=first.found or None,
            expected=first.expected or None,
            remedy=f"{first.kind.remedy}; `harness validate {path}` names them all",
        )
