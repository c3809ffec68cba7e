"""frame_rates.csv of a data root: frames per second of each recording, as `harness doctor --videos` measured them."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness import files
from harness.data import catalogue
from harness.data.csv_table import read_cells
from harness.data.places import folder_for, is_writable
from harness.errors import DataError
from harness.findings import Finding, printable

FILE_NAME = "frame_rates.csv"
COLUMNS = ("recording", "fps", "frames")
LARGEST_FILE = 16 * 1024 * 1024
# A rate outside of this is a slip of the decimal point, not a camera.
FASTEST = 1000.0


def table_of(root: Path) -> Path:
    """The frame_rates.csv of a data root: in it, or where its cache is kept if it has none and is not to be written to."""
    inside = root / FILE_NAME
    return inside if inside.is_file() or is_writable(root) else folder_for(root) / FILE_NAME


@dataclass(frozen=True)
class FrameRates:
    """What frame_rates.csv says: (frames per second, decoded frames or 0) by recording, and its faults."""

    by_recording: dict[str, tuple[float, int]]
    sha256: str
    findings: tuple[Finding, ...]


def read_frame_rates(path: str | Path) -> FrameRates:
    """Reads a frame_rates.csv with all its faults: columns recording, fps and, if it was decoded, frames."""
    data = files.read_bytes(path, LARGEST_FILE)
    rates: dict[str, tuple[float, int]] = {}
    findings: list[Finding] = []
    try:
        findings += _read_into(rates, data, path)
    except DataError as error:
        findings.append(Finding(catalogue.FRAME_RATES, str(path), error.line, error.problem, error.expected or ""))
    return FrameRates(rates, hashlib.sha256(data).hexdigest(), tuple(findings))


def _read_into(rates: dict[str, tuple[float, int]], data: bytes, path: str | Path) -> list[Finding]:
    """Adds what the lines of a table say to `rates`; returns the faults of the others."""
    rows = read_cells(data, path)
    header = tuple(name.strip() for name in next(rows, (1, []))[1])
    if header not in (COLUMNS, COLUMNS[:2]):
        return [Finding(catalogue.FRAME_RATES, str(path), 1, found=printable(",".join(header)), expected=",".join(COLUMNS))]
    findings = []
    for line, cells in rows:
        entry = _entry(cells, len(header))
        if entry is None or cells[0] in rates:
            expected = "a recording once, its frames per second, its decoded frames"
            findings.append(Finding(catalogue.FRAME_RATES, str(path), line, printable(",".join(cells)), expected))
            continue
        rates[cells[0]] = entry
    return findings


def load_frame_rates(path: Path) -> dict[str, tuple[float, int]]:
    """What a frame_rates.csv says that is to be added to; nothing where there is none.

    Raises DataError for its first fault: to write it anew would lose what stands there.
    """
    if not path.is_file():
        return {}
    read = read_frame_rates(path)
    for finding in read.findings:
        raise DataError(
            "frame_rates.csv has a line that cannot be read, and is not overwritten",
            path=path,
            line=finding.line,
            found=finding.found,
            expected=finding.expected,
            remedy="correct the line, or move the file away",
        )
    return read.by_recording


def _entry(cells: list[str], columns: int) -> tuple[float, int] | None:
    # One cell too many is most likely a rate with a decimal comma.
    if len(cells) > columns:
        return None
    try:
        rate = float(cells[1])
        frames = int(cells[2]) if columns == len(COLUMNS) and cells[2] else 0
    except (ValueError, IndexError):
        return None
    return (rate, frames) if math.isfinite(rate) and 0 < rate <= FASTEST and frames >= 0 and cells[0] else None


def write_frame_rates(path: str | Path, rates: Iterable[tuple[str, float, int]]) -> None:
    """Writes recordings with frames per second (as exact as a float is) and decoded frames, sorted by name."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for recording, rate, frames in sorted(rates):
        writer.writerow((recording, repr(rate), frames))
    files.write_text(path, text.getvalue())
