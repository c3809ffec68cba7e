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
from harness.data.places import folder_for, is_writable
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
    sha256 = hashlib.sha256(data).hexdigest()
    reader = csv.reader(io.StringIO(data.decode("utf-8-sig", "replace")))
    header = tuple(name.strip() for name in next(reader, []))
    if header not in (COLUMNS, COLUMNS[:2]):
        finding = Finding(catalogue.FRAME_RATES, str(path), 1, found=printable(",".join(header)), expected=",".join(COLUMNS))
        return FrameRates({}, sha256, (finding,))
    rates: dict[str, tuple[float, int]] = {}
    findings: list[Finding] = []
    for cells in reader:
        if not cells:
            continue
        entry = _entry(cells, len(header))
        if entry is None or cells[0] in rates:
            expected = "a recording once, its frames per second, its decoded frames"
            findings.append(Finding(catalogue.FRAME_RATES, str(path), reader.line_num, printable(",".join(cells)), expected))
            continue
        rates[cells[0]] = entry
    return FrameRates(rates, sha256, tuple(findings))


def _entry(cells: list[str], columns: int) -> tuple[float, int] | None:
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
