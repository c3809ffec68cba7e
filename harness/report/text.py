"""A timeline as lines of text: letters for classes, blocks for shares, colour on top where there is a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import click
import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.findings import printable
from harness.report.palette import class_colours, class_letters, ink_on, rgb
from harness.report.timeline import (
    Timeline,
    column_majorities,
    column_means,
    columns_of,
    known_means,
    shown_classes,
    stretches,
    time_text,
    true_stretches,
)
from harness.words import counted

DEFAULT_WIDTH = 80
# A narrower terminal gets the name of each lane on a line of its own.
NARROW = 40
NARROWEST = 8
WIDEST_NAME = 12
TICK_DISTANCE = 12
LONGEST_NAME = 60


@dataclass(frozen=True)
class Signs:
    """The characters of one alphabet: eight or more levels from nothing to all, and marks for wrong and for unseen."""

    levels: str
    wrong: str
    unseen: str
    unknown: str


BLOCKS = Signs(" ▁▂▃▄▅▆▇█", "×", "░", "·")
ASCII = Signs(" 123456789", "x", "/", ".")


def alphabet(encoding: str | None) -> Signs:
    """Block characters where the output can say them, else plain ASCII."""
    try:
        (BLOCKS.levels + BLOCKS.wrong + BLOCKS.unseen + BLOCKS.unknown).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def as_text(timeline: Timeline, width: int, signs: Signs = BLOCKS) -> str:
    """The timeline in lines of at most `width` characters (DEFAULT_WIDTH for 0), one lane under the other.

    The text holds colour codes, which `click.echo` takes out where there is no terminal.
    """
    width = max(width, NARROWEST) if width > 0 else DEFAULT_WIDTH
    margin = 0 if width < NARROW else WIDEST_NAME + 1
    starts = columns_of(timeline.rows, width - margin)
    lines = [line for paragraph in _summary(timeline) for line in _wrapped(paragraph, width)]
    for name, lane in _lanes(timeline, starts, signs):
        lines += [f"{name[:WIDEST_NAME]:<{margin}}{lane}"] if margin else [name[:width], lane]
    lines += _wrapped_words(_key(timeline), width)
    text = "\n".join(lines)
    return text if signs is BLOCKS else text.encode("ascii", "backslashreplace").decode()


def _lanes(timeline: Timeline, starts: NDArray[np.int64], signs: Signs) -> Iterator[tuple[str, str]]:
    yield "frame", _ruler(starts)
    if timeline.decoded is not None:
        yield "predicted", _class_lane(timeline, timeline.decoded, starts, signs)
    if timeline.labels is not None:
        yield "label", _class_lane(timeline, timeline.labels, starts, signs)
    if timeline.wrong is not None:
        yield "wrong", _marks(timeline.wrong, starts, signs.wrong)
    if timeline.imputed is not None:
        yield "no face", _marks(timeline.imputed, starts, signs.unseen)
    if timeline.confidence is not None:
        yield "confidence", _levels(column_means(timeline.confidence, starts), signs)
    if timeline.probabilities is not None:
        means = column_means(timeline.probabilities, starts)
        for index, (name, colour) in enumerate(zip(timeline.class_names, class_colours(timeline.class_names), strict=True)):
            yield name, click.style(_levels(means[:, index], signs), fg=rgb(colour))
    for name, values in timeline.reals.items():
        # From -1..1, where a text could not be read from its middle.
        yield name, _levels(column_means(np.nan_to_num(values) / 2 + 0.5, starts), signs)
        if name in timeline.real_labels:
            means = known_means(timeline.real_labels[name], starts)
            known = _levels(np.nan_to_num(means) / 2 + 0.5, signs)
            yield (
                "  label",
                "".join(sign if there else signs.unknown for sign, there in zip(known, np.isfinite(means), strict=True)),
            )
    for name, units in timeline.units.items():
        yield name, _levels(column_means(units == 1, starts), signs)
        if name in timeline.unit_labels:
            yield "  label", _levels(column_means(timeline.unit_labels[name] == 1, starts), signs)


def _ruler(starts: NDArray[np.int64]) -> str:
    """`|1          |61         |121`: the number of the first frame of each column that has a mark."""
    parts = []
    for column in range(0, len(starts), TICK_DISTANCE):
        room = min(TICK_DISTANCE, len(starts) - column)
        mark = f"|{starts[column] + 1}"
        parts.append((mark if len(mark) <= room else "").ljust(room))
    return "".join(parts).rstrip()


def _class_lane(timeline: Timeline, classes: NDArray[np.int8], starts: NDArray[np.int64], signs: Signs) -> str:
    letters = class_letters(timeline.class_names)
    colours = class_colours(timeline.class_names)
    shown = column_majorities(classes, starts, len(timeline.class_names))
    parts = []
    for start, length in stretches(shown):
        index = int(shown[start])
        if index < 0:
            parts.append(signs.unknown * length)
        else:
            parts.append(click.style(letters[index] * length, bg=rgb(colours[index]), fg=rgb(ink_on(colours[index]))))
    return "".join(parts)


def _marks(flags: NDArray[np.bool_], starts: NDArray[np.int64], mark: str) -> str:
    return "".join(mark if share >= 0.5 else " " for share in column_means(flags, starts).tolist()).rstrip()


def _levels(shares: ArrayLike, signs: Signs) -> str:
    top = len(signs.levels) - 1
    return "".join(signs.levels[level] for level in np.clip(np.rint(np.asarray(shares) * top), 0, top).astype(int).tolist())


def _summary(timeline: Timeline) -> Iterator[str]:
    rate = timeline.frame_rate
    length = "" if rate is None else f", {time_text(timeline.rows / rate)} at {rate:g} frames per second"
    yield f"{printable(timeline.track, LONGEST_NAME)}: {counted(timeline.rows, 'frame')}{length}"
    if timeline.decoded is not None:
        changes = counted(len(stretches(timeline.decoded)) - 1, "change")
        yield f"predicted: {_shares(timeline, timeline.decoded)}; {changes}"
    if timeline.labels is not None and (timeline.labels >= 0).any():
        yield f"label: {_shares(timeline, timeline.labels)}"
    yield from _value_lines(timeline)
    yield from _unit_lines(timeline)
    if timeline.wrong is not None and timeline.labels is not None and (labelled := int((timeline.labels >= 0).sum())):
        wrong = int(((timeline.labels >= 0) & (timeline.labels != timeline.decoded)).sum())
        yield f"wrong: {wrong:,} of {labelled:,} labelled frames ({100 * wrong / labelled:.0f} %)"
    if timeline.imputed is not None:
        yield f"no face: {_gaps(timeline.imputed)}"


def _value_lines(timeline: Timeline) -> Iterator[str]:
    """The mean of each value, and how far that lies from the labels."""
    for name, values in timeline.reals.items():
        line = f"{name}: mean {np.nanmean(values) if np.isfinite(values).any() else 0.0:+.2f}"
        truth = timeline.real_labels.get(name)
        both = None if truth is None else np.isfinite(truth) & np.isfinite(values)
        if truth is not None and both is not None and both.any():
            apart = np.abs(truth[both] - values[both]).mean()
            line += f", label {truth[both].mean():+.2f}, {apart:.2f} apart on {counted(int(both.sum()), 'labelled frame')}"
        yield line


def _unit_lines(timeline: Timeline) -> Iterator[str]:
    """The units that are active, and how many labels of units are met."""
    shares = {name: float((units == 1).mean()) for name, units in timeline.units.items()}
    if shares:
        active = [f"{name} {100 * share:.0f} %" for name, share in sorted(shares.items(), key=lambda one: -one[1]) if share]
        yield f"active: {', '.join(active) or 'no unit'}"
    pairs = [(truth, timeline.units[name]) for name, truth in timeline.unit_labels.items()]
    known = sum(int((truth >= 0).sum()) for truth, _ in pairs)
    if known:
        wrong = sum(int(((truth >= 0) & (truth != said)).sum()) for truth, said in pairs)
        yield f"wrong: {wrong:,} of {known:,} labels of units ({100 * wrong / known:.0f} %)"


def _shares(timeline: Timeline, classes: NDArray[np.int8]) -> str:
    """The classes by share, the most frequent first."""
    counts = np.bincount(classes[classes >= 0], minlength=len(timeline.class_names))
    order = [int(index) for index in np.argsort(-counts, kind="stable") if counts[index]]
    shares = ", ".join(f"{timeline.class_names[index]} {100 * counts[index] / counts.sum():.0f} %" for index in order)
    return shares or "no class at all"


def _gaps(imputed: NDArray[np.bool_]) -> str:
    gaps = true_stretches(imputed)
    if not gaps:
        return "none missing"
    start, length = max(gaps, key=lambda gap: gap[1])
    count = f"{counted(int(imputed.sum()), 'frame')} in {counted(len(gaps), 'gap')}"
    return f"{count}, the longest {start + 1:,} to {start + length:,}"


def _key(timeline: Timeline) -> list[str]:
    """What the letters mean."""
    letters, colours = class_letters(timeline.class_names), class_colours(timeline.class_names)
    words = []
    for index in shown_classes(timeline):
        letter = click.style(f" {letters[index]} ", bg=rgb(colours[index]), fg=rgb(ink_on(colours[index])))
        words.append(f"{letter} {timeline.class_names[index]}")
    return words


def _wrapped(text: str, width: int) -> list[str]:
    from textwrap import wrap

    return wrap(text, width, subsequent_indent="  " if width >= NARROW else "") or [""]


def _wrapped_words(words: list[str], width: int) -> list[str]:
    """Words that may hold colour codes, as many on a line as there is room for."""
    lines: list[str] = []
    room = 0
    for word in words:
        length = len(click.unstyle(word))
        if lines and length + 2 <= room:
            lines[-1] += f"  {word}"
            room -= length + 2
        else:
            lines.append(word)
            room = width - length
    return lines
