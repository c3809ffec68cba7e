"""Sizes of the submission desk: validating and writing answers as large as the official ones.

Each function returns seconds of processor time and, where a process of its own was measured, its largest memory in MiB. The
answers are made up: as many tracks and rows as the official expression test set (228 tracks, 1,022,655 rows), of even length.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import apart
from benchmarks.bench import Bench
from benchmarks.figures import Figure, measured
from harness import files
from harness.challenge import EXPR, MTL, VA, Challenge, format_of
from harness.data.sample import Rows, load_sample
from harness.submission.build import build
from harness.submission.writer import image_prefixes, merged_file, track_file

TRACKS = 228
ROWS = 1_022_655
MULTI_TASK_TRACKS, MULTI_TASK_ROWS = 100, 51_159
MANY_ROWS = 2_700_000
MANY_TRACKS = 600


@dataclass(frozen=True)
class Measured:
    """Seconds of processor time, the largest memory of a process in MiB (0 where none was started), bytes of an answer alone."""

    seconds: float
    memory: float = 0.0
    size: int = 0


def official_rows(tracks: int = TRACKS, rows: int = ROWS) -> Rows:
    """Rows of tracks of nearly even length."""
    lengths = np.full(tracks, rows // tracks)
    lengths[: rows - lengths.sum()] += 1
    return Rows.from_counts((f"{number}-30-1920x1080", int(length)) for number, length in enumerate(lengths, 1))


def answers(rows: Rows, challenge: Challenge) -> dict[str, NDArray]:
    """Values for every row from a fixed seed, which last a while as predictions do."""
    generator = np.random.default_rng(0)
    values: dict[str, NDArray] = {}
    for name, count in rows.counts.items():
        if challenge.integral:
            values[name] = np.repeat(generator.choice(8, count // 25 + 1, p=_SHARES), 25)[:count].astype(np.int8)
        else:
            values[name] = generator.uniform(-1, 1, (count, len(challenge.fields)))
            whole = [place for place, field in enumerate(challenge.fields) if field.integral]
            values[name][:, whole] = values[name][:, whole] > 0
    return values


_SHARES = np.array(EXPR.training_frames) / sum(EXPR.training_frames)


def write_sample(path: Path, rows: Rows, challenge: Challenge = EXPR) -> None:
    """An official sample file of these rows."""
    header = format_of(challenge.name, 5).header.encode()
    files.write_bytes(path, header + b"\n" + b"".join(image + b"\n" for image in image_prefixes(rows)))


def validate(*arguments: str | Path) -> Measured:
    """`harness validate` in a process of its own, start-up included. Raises CalledProcessError if it finds an error."""
    taken = apart.harness(["validate", *arguments], Path.cwd())
    return Measured(taken.processor_seconds, taken.memory)


def validate_official_size(folder: Path) -> Measured:
    """A single file of 1,022,655 rows against its sample."""
    rows = official_rows()
    write_sample(folder / "sample.txt", rows)
    files.write_bytes(folder / "predictions.txt", b"".join(merged_file(rows, _header(EXPR), answers(rows, EXPR), EXPR)))
    return validate(folder / "predictions.txt", "--sample", folder / "sample.txt")


def validate_expressions(folder: Path) -> Measured:
    """The same file with nothing to compare it with."""
    rows = official_rows()
    return validate_alone(folder / "predictions.txt", merged_file(rows, _header(EXPR), answers(rows, EXPR), EXPR))


def validate_alone(path: Path, text: Iterator[bytes]) -> Measured:
    """A single file by itself."""
    content = b"".join(text)
    files.write_bytes(path, content)
    return replace(validate(path), size=len(content))


def validate_official_size_by_record(folder: Path) -> Measured:
    """The same as a submission of this program: tracks, single file, sha256 and record."""
    rows = official_rows()
    build(folder / "answer", list(answers(rows, EXPR).items()), EXPR, 5, None, {})
    return validate(folder / "answer")


def validate_real_values(folder: Path) -> Measured:
    """927,210 rows of valence and arousal with all their digits."""
    rows = official_rows(162, 927_210)
    return validate_alone(folder / "predictions.txt", merged_file(rows, _header(VA), answers(rows, VA), VA))


def validate_multi_task(folder: Path) -> Measured:
    """51,159 rows of two values, a class and twelve units."""
    rows = official_rows(MULTI_TASK_TRACKS, MULTI_TASK_ROWS)
    text = merged_file(rows, format_of(MTL.name).header.encode(), answers(rows, MTL), MTL)
    return validate_alone(folder / format_of(MTL.name).answer_name, text)


def validate_many_tracks(folder: Path) -> Measured:
    """2.7 million rows in 600 files of tracks against a table of rows."""
    rows = official_rows(MANY_TRACKS, MANY_ROWS)
    for name, values in answers(rows, EXPR).items():
        files.write_bytes(folder / "tracks" / f"{name}.txt", track_file(values, EXPR), sync=False)
    table = "".join(f"{name},{count}\n" for name, count in rows.counts.items())
    files.write_text(folder / "rows.csv", "track,rows\n" + table)
    return validate(folder / "tracks", "--rows", folder / "rows.csv")


def validate_small(folder: Path) -> Measured:
    """Three tracks of ten rows: what starting costs."""
    rows = official_rows(3, 30)
    build(folder / "answer", list(answers(rows, EXPR).items()), EXPR, 5, None, {})
    return validate(folder / "answer")


def write_official_size(folder: Path) -> Measured:
    """Writing 1,022,655 rows along a sample that was read before: the tracks' files, the single file and the record."""
    rows = official_rows()
    values = list(answers(rows, EXPR).items())
    write_sample(folder / "sample.txt", rows)
    sample = load_sample(folder / "sample.txt")
    begin = time.process_time()
    build(folder / "answer", values, EXPR, 5, sample, {})
    return Measured(time.process_time() - begin)


def read_official_sample(folder: Path) -> Measured:
    """Reading the sample file."""
    write_sample(folder / "sample.txt", official_rows())
    begin = time.process_time()
    sample = load_sample(folder / "sample.txt")
    assert len(sample.rows) == ROWS
    return Measured(time.process_time() - begin)


def _header(challenge: Challenge) -> bytes:
    return format_of(challenge.name, 5).header.encode()


BENCHMARKS = (
    validate_small,
    validate_official_size,
    validate_official_size_by_record,
    validate_many_tracks,
    validate_expressions,
    validate_real_values,
    validate_multi_task,
    read_official_sample,
    write_official_size,
)


def measure(bench: Bench) -> Iterator[Figure]:
    """Every figure."""
    measured_of: dict[str, list[Measured]] = {}
    for benchmark in BENCHMARKS:
        name = benchmark.__name__.replace("_", " ")
        rounds = measured_of[name] = []
        for number in range(bench.rounds):
            place = bench.folder / benchmark.__name__ / str(number)
            place.mkdir(parents=True)
            rounds.append(benchmark(place))
        yield measured(name, "s", [one.seconds for one in rounds], "processor time")
        if rounds[0].memory:
            yield measured(f"{name}, memory", "MiB", [one.memory for one in rounds])
    start = statistics.median(one.seconds for one in measured_of["validate small"])
    of_a_byte = statistics.median((one.seconds - start) / one.size for one in measured_of["validate expressions"])
    for name in ("validate real values", "validate multi task"):
        times = [(one.seconds - start) / one.size / of_a_byte for one in measured_of[name]]
        yield measured(f"{name}, time of a byte over that of expressions", "", times, "what starting takes is left out")
