"""A track's timeline: what was predicted frame by frame, how surely, and what is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.report import figures
from harness.report.legend import Key
from harness.report.palette import ERROR, INK, MUTED, RUN_COLOURS, class_colours, ink_on, rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A picture is this wide in inches, and this much of its width is drawn on: the page lays a cursor over exactly that part.
WIDTH = 9.0
LEFT, RIGHT = 0.085, 0.985
# Inches above the lanes without and with a title, between them, and below them for the frames and for each line of the legend.
TOP, TITLE, BETWEEN, BOTTOM, LEGEND_LINE = 0.1, 0.34, 0.09, 0.42, 0.18
# Inches that a key takes beside its words, and about as many for each letter.
KEY_WIDTH, LETTER_WIDTH = 0.32, 0.066
# Finer than this no screen shows a timeline: longer tracks are drawn in as many columns, each for several frames.
MOST_COLUMNS = 1000
BAND_LINES = 96
# Inches of the lane of a value, and of each unit.
REAL_HEIGHT = 0.7
UNIT_HEIGHT = 0.17
# Lines of pixels of a unit: two of its labels, two of its answers above them, and one on either side.
UNIT_LINES = 6
# How dense, of 255, the ground of every other unit is, so that a name is seen to belong to its rows.
BAND = 28
# What was answered and what is true, of values and units.
ANSWERED, TRUE = RUN_COLOURS[0], RUN_COLOURS[1]
# Labels of fewer rows are points, for no line would join them.
DENSE_LABELS = 0.5
# A stretch of one class is named where it is at least this share of the track, so that colour is not needed to read it.
SHARE_TO_NAME = 0.09


@dataclass(frozen=True, eq=False)
class Timeline:
    """One track, row by row.

    Attributes
    ----------
    class_names : in the order of labels; empty for a challenge without classes.
    decoded : (rows,) int8 predicted class, -1 where a text could not be read; None for a challenge without classes.
    labels : (rows,) int8 true class, -1 where nobody labelled; None where there are no labels.
    imputed : (rows,) bool, True where the frame has no face; None where that is not known.
    probabilities, unsmoothed : (rows, C) after and before smoothing; None where only text is at hand, or nothing was smoothed.
    units, reals : further answers (rows,) by name: action units (-1 unreadable), and real numbers (NaN unreadable).
    unit_labels, real_labels : the same of the labels, -1 and NaN where nobody labelled; empty where there are none.
    rough_reals : the real numbers before smoothing; empty where only text is at hand, or nothing was smoothed.
    frame_rate : frames per second, None when unknown.
    """

    track: str
    rows: int
    class_names: tuple[str, ...] = ()
    decoded: NDArray[np.int8] | None = None
    labels: NDArray[np.int8] | None = None
    imputed: NDArray[np.bool_] | None = None
    probabilities: NDArray[np.float64] | None = None
    unsmoothed: NDArray[np.float64] | None = None
    units: Mapping[str, NDArray[np.int8]] = field(default_factory=dict)
    reals: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    unit_labels: Mapping[str, NDArray[np.int8]] = field(default_factory=dict)
    real_labels: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    rough_reals: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    frame_rate: float | None = None

    @property
    def confidence(self) -> NDArray[np.float64] | None:
        """(rows,) the probability of the decoded class; 0 where no class could be read. None without probabilities."""
        if self.probabilities is None or self.decoded is None:
            return None
        chosen = np.take_along_axis(self.probabilities, np.maximum(self.decoded, 0)[:, None].astype(np.intp), axis=1)[:, 0]
        return np.where(self.decoded >= 0, chosen, 0.0)

    @property
    def wrong(self) -> NDArray[np.bool_] | None:
        """(rows,) whether a labelled row was decoded as another class, or a unit as what it is not; None without such labels."""
        pairs = [(truth, self.units[name]) for name, truth in self.unit_labels.items() if name in self.units]
        if self.labels is not None and self.decoded is not None:
            pairs.append((self.labels, self.decoded))
        if not pairs:
            return None
        wrong: NDArray[np.bool_] = np.any([(truth >= 0) & (truth != said) for truth, said in pairs], axis=0)
        return wrong


def stretches(values: NDArray[Any]) -> list[tuple[int, int]]:
    """First row (0-based) and length of each stretch of equal values in (rows,), in order."""
    if len(values) == 0:
        return []
    borders = np.flatnonzero(values[1:] != values[:-1]) + 1
    starts = np.concatenate([[0], borders])
    lengths = np.diff(np.append(starts, len(values)))
    return list(zip(starts.tolist(), lengths.tolist(), strict=True))


def true_stretches(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First row (0-based) and length of each stretch in which `flags` (rows,) hold."""
    return [(start, length) for start, length in stretches(flags) if flags[start]]


def columns_of(rows: int, most: int) -> NDArray[np.int64]:
    """Where each column of a picture begins (columns,), for at most `most` columns of whole frames that share `rows`."""
    count = min(rows, most)
    return np.arange(count) * rows // max(count, 1)


def column_means(values: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean of (rows, ...) over the rows of each column."""
    sums = np.add.reduceat(np.asarray(values, dtype=np.float64), starts, axis=0)
    lengths = np.diff(np.append(starts, len(values))).astype(np.float64)
    means: NDArray[np.float64] = sums / lengths.reshape(-1, *[1] * (sums.ndim - 1))
    return means


def known_means(values: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean of the numbers in (rows,) of each column that are not NaN; NaN in a column without any."""
    known = np.isfinite(values)
    sums, counts = np.add.reduceat(np.where(known, values, 0.0), starts), np.add.reduceat(known.astype(np.float64), starts)
    means: NDArray[np.float64] = np.divide(sums, counts, out=np.full(len(starts), np.nan), where=counts > 0)
    return means


def column_majorities(values: NDArray[np.int8], starts: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """The most frequent class of each column, -1 where most rows have none."""
    counts = column_means(np.eye(classes + 1)[values.astype(np.intp)], starts)
    majorities: NDArray[np.int64] = np.where(counts[:, -1] > 0.5, -1, counts[:, :-1].argmax(axis=1))
    return majorities


def draw(timeline: Timeline, title: str = "", with_legend: bool = True) -> Figure:
    """The timeline as a figure: bands of probabilities, confidence, decoded and true classes above one another.

    To be called inside `figures.drawing()`. The horizontal axis spans LEFT to RIGHT of the width; frame k fills k-0.5 to k+0.5.
    The legend stands below it, in as many lines as it needs; a page has one of its own.
    """
    lanes, lines = _lanes(timeline), _legend_lines(timeline) if with_legend else []
    top, bottom = TITLE if title else TOP, BOTTOM + LEGEND_LINE * len(lines)
    total = top + _lane_heights(lanes) + bottom
    figure = figures.new_figure(WIDTH, total)
    upper = total - top
    axes: Axes | None = None
    for height, name, paint in lanes:
        axes = figure.add_axes((LEFT, (upper - height) / total, RIGHT - LEFT, height / total), sharex=axes)
        axes.grid(False)
        axes.set_xlim(0.5, timeline.rows + 0.5)
        axes.set_ylim(0, 1)
        axes.tick_params(bottom=False, labelbottom=False, left=False, labelleft=False)
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8.5)
        paint(axes, timeline)
        upper -= height + BETWEEN
    assert axes is not None
    _frame_axis(figure, axes, timeline)
    if title:
        figure.text(LEFT, 1 - 0.1 / total, title, ha="left", va="top", fontsize=10.5, weight="bold")
    for line, keys in enumerate(lines):
        _paint_legend(figure, keys, (bottom - BOTTOM - LEGEND_LINE * (line + 1)) / total)
    return figure


def floor_of(timeline: Timeline) -> float:
    """Which share of the height of a picture without title and legend lies below the last lane."""
    return BOTTOM / (TOP + _lane_heights(_lanes(timeline)) + BOTTOM)


def _lane_heights(lanes: Sequence[tuple[float, str, Any]]) -> float:
    return sum(height for height, _, _ in lanes) + BETWEEN * (len(lanes) - 1)


def _lanes(timeline: Timeline) -> list[tuple[float, str, Any]]:
    """Height in inches, name and painter of each lane, from the top."""
    lanes: list[tuple[float, str, Any]] = []
    if timeline.unsmoothed is not None:
        lanes.append((0.72, "before\nsmoothing", lambda axes, it: _paint_bands(axes, it, it.unsmoothed)))
    if timeline.probabilities is not None:
        name = "after\nsmoothing" if timeline.unsmoothed is not None else "probability"
        lanes.append((0.95, name, lambda axes, it: _paint_bands(axes, it, it.probabilities)))
    if timeline.confidence is not None:
        lanes.append((0.36, "confidence", _paint_confidence))
    lanes += [(REAL_HEIGHT, name, _real_painter(name)) for name in timeline.reals]
    if timeline.decoded is not None:
        lanes.append((0.2, "predicted", lambda axes, it: _paint_strip(axes, it, it.decoded)))
    if timeline.labels is not None:
        lanes.append((0.2, "label", lambda axes, it: _paint_strip(axes, it, it.labels)))
    if timeline.units:
        lanes.append((UNIT_HEIGHT * len(timeline.units), "", _paint_units))
    if timeline.wrong is not None:
        lanes.append((0.08, "wrong", _paint_wrong))
    return lanes


def _paint_bands(axes: Axes, timeline: Timeline, probabilities: NDArray[np.float64]) -> None:
    """Each class as a band whose height is its probability."""
    means = column_means(probabilities, columns_of(timeline.rows, MOST_COLUMNS))
    heights = (np.arange(BAND_LINES) + 0.5) / BAND_LINES
    upper = np.cumsum(means, axis=1)
    upper[:, -1] = np.inf  # rounding leaves no gap at the top
    classes = (heights[:, None, None] >= upper[None]).sum(axis=-1)
    _paint_image(axes, timeline, _colours(timeline)[classes])
    _paint_imputed(axes, timeline)


def _paint_strip(axes: Axes, timeline: Timeline, classes: NDArray[np.int8]) -> None:
    """Each row as the colour of its class; long stretches are named."""
    shown = column_majorities(classes, columns_of(timeline.rows, MOST_COLUMNS), len(timeline.class_names))
    _paint_image(axes, timeline, np.vstack([_colours(timeline), [0, 0, 0, 0]])[shown][None].astype(np.uint8))
    colours = class_colours(timeline.class_names)
    for start, length in stretches(classes):
        if classes[start] >= 0 and length >= SHARE_TO_NAME * timeline.rows:
            name, colour = timeline.class_names[classes[start]], colours[classes[start]]
            ground = {"facecolor": colour, "linewidth": 0, "boxstyle": "square,pad=0.15"}
            middle = start + length / 2 + 0.5
            axes.text(middle, 0.46, name, ha="center", va="center", fontsize=8, color=ink_on(colour), bbox=ground, clip_on=True)
    _paint_imputed(axes, timeline)


def _paint_confidence(axes: Axes, timeline: Timeline) -> None:
    assert timeline.confidence is not None
    _paint_line(axes, timeline, timeline.confidence)
    axes.set_yticks([0.5, 1])
    axes.tick_params(labelleft=False)
    axes.grid(True, axis="y")
    _paint_imputed(axes, timeline)


def _real_painter(name: str) -> Any:
    def paint(axes: Axes, timeline: Timeline) -> None:
        axes.set_ylim(-1.05, 1.05)  # valence and arousal lie in -1..1
        axes.axhline(0, color=MUTED, linewidth=0.6)
        axes.set_yticks([-1, 0, 1], ["−1", "0", "1"])
        axes.tick_params(left=True, labelleft=True, length=2, pad=1.5, labelsize=6.5)
        axes.yaxis.labelpad = 1.5
        if name in timeline.rough_reals:
            _paint_line(axes, timeline, timeline.rough_reals[name], color=MUTED, linewidth=0.5)
        if name in timeline.real_labels:
            _paint_labels(axes, timeline, timeline.real_labels[name])
        _paint_line(axes, timeline, timeline.reals[name], color=ANSWERED, linewidth=1.4)
        _paint_imputed(axes, timeline, low=-1.05, height=2.1)

    return paint


def _paint_labels(axes: Axes, timeline: Timeline, labels: NDArray[np.float64]) -> None:
    """A line with gaps where nobody labelled; points where few rows are."""
    if np.isfinite(labels).mean() >= DENSE_LABELS:
        _paint_line(axes, timeline, labels, color=TRUE, linewidth=1.1)
    else:
        _paint_line(axes, timeline, labels, color=TRUE, linestyle="none", marker="o", markersize=2.2, markeredgewidth=0)


def _paint_units(axes: Axes, timeline: Timeline) -> None:
    """Two rows for each unit, the first unit on top: where it is answered active, and below that where it is labelled so."""
    names = list(timeline.units)
    starts = columns_of(timeline.rows, MOST_COLUMNS)
    pixels = np.zeros((UNIT_LINES * len(names), len(starts), 4), np.uint8)
    for place, name in enumerate(reversed(names)):
        own = pixels[UNIT_LINES * place : UNIT_LINES * (place + 1)]
        own[:] = (*rgb(MUTED), BAND * (place % 2))
        _shade(own[3:5], ANSWERED, column_means(timeline.units[name] == 1, starts))
        if name in timeline.unit_labels:
            truth = timeline.unit_labels[name]
            _shade(own[1:3], TRUE, column_means(truth == 1, starts))
            nobody = column_means(truth < 0, starts) > 0.5
            own[1, nobody] = (*rgb(MUTED), 90)
    _paint_image(axes, timeline, pixels)
    axes.set_yticks((np.arange(len(names)) + 0.5) / len(names), reversed(names))
    axes.tick_params(left=False, labelleft=True, labelsize=7, pad=2)
    _paint_imputed(axes, timeline)


def _shade(pixels: NDArray[np.uint8], colour: str, shares: NDArray[np.float64]) -> None:
    """Colours those columns of `pixels` (lines, columns, 4) whose share (columns,) is not 0, as dense as that is."""
    some = shares > 0
    pixels[:, some, :3] = rgb(colour)
    pixels[:, some, 3] = np.round(255 * shares[some])


def _paint_wrong(axes: Axes, timeline: Timeline) -> None:
    assert timeline.wrong is not None
    shares = column_means(timeline.wrong, columns_of(timeline.rows, MOST_COLUMNS))
    image = np.zeros((1, len(shares), 4), np.uint8)
    image[..., :3] = rgb(ERROR)
    image[0, :, 3] = np.round(255 * shares)
    _paint_image(axes, timeline, image)
    axes.yaxis.label.set_fontsize(7.5)


def _paint_line(axes: Axes, timeline: Timeline, values: NDArray[np.float64], **looks: Any) -> None:
    starts = columns_of(timeline.rows, MOST_COLUMNS)
    middles = starts + np.diff(np.append(starts, timeline.rows)) / 2 + 0.5
    axes.plot(middles, known_means(values, starts), **{"color": INK, "linewidth": 0.9, **looks})


def _paint_image(axes: Axes, timeline: Timeline, pixels: NDArray[np.uint8]) -> None:
    """`pixels` (lines, columns, 4) over the whole lane, the first line at the bottom."""
    extent = (0.5, timeline.rows + 0.5, 0.0, 1.0)
    axes.imshow(pixels, extent=extent, aspect="auto", origin="lower", interpolation="none")


def _paint_imputed(axes: Axes, timeline: Timeline, low: float = 0.0, height: float = 1.0) -> None:
    """Hatches the frames without a face."""
    if timeline.imputed is None or not timeline.imputed.any():
        return
    spans = [(start + 0.5, length) for start, length in true_stretches(timeline.imputed)]
    axes.broken_barh(spans, (low, height), facecolor="none", edgecolor=INK, hatch="//////", linewidth=0)


def _colours(timeline: Timeline) -> NDArray[np.uint8]:
    return np.array([(*rgb(colour), 255) for colour in class_colours(timeline.class_names)], dtype=np.uint8)


def _frame_axis(figure: Figure, axes: Axes, timeline: Timeline) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.tick_params(axis="x", bottom=True, labelbottom=True, labelsize=8.5)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    rate = timeline.frame_rate

    def text(frame: float, _: int | None = None) -> str:
        # A number at the very end would be cut off by the picture's border.
        if not 1 <= frame <= max(1, 0.97 * timeline.rows):
            return ""
        return f"{frame:,.0f}" if rate is None else f"{frame:,.0f}\n{time_text((frame - 1) / rate)}"

    axes.xaxis.set_major_formatter(FuncFormatter(text))
    box, height = axes.get_position(), figure.get_figheight()
    name = "frame" if rate is None else "frame\ntime"
    figure.text(LEFT - 0.007, box.y0 - 0.07 / height, name, ha="right", va="top", fontsize=8.5, color=MUTED)


def time_text(seconds: float) -> str:
    """Minutes and seconds of a video: 1:07.5."""
    minutes, rest = divmod(round(seconds * 10), 600)
    return f"{minutes}:{rest // 10:02d}.{rest % 10}"


def legend_of(timeline: Timeline) -> list[Key]:
    """The colours of the classes that occur, of answers and labels, and the hatching."""
    colours = class_colours(timeline.class_names)
    keys = [Key(timeline.class_names[c], colours[c]) for c in shown_classes(timeline)]
    if timeline.reals or timeline.units:
        keys.append(Key("predicted", ANSWERED))
    if timeline.real_labels or timeline.unit_labels:
        keys.append(Key("label", TRUE))
    if any((truth < 0).any() for truth in timeline.unit_labels.values()):
        keys.append(Key("unit not labelled", MUTED))
    if timeline.rough_reals:
        keys.append(Key("before smoothing", MUTED, "line"))
    if timeline.imputed is not None and timeline.imputed.any():
        keys.append(Key("no face, imputed", INK, "hatch"))
    return keys


def _legend_lines(timeline: Timeline) -> list[list[Key]]:
    """The legend in lines that are as wide as the lanes at most."""
    lines: list[list[Key]] = []
    room = 0.0
    for key in legend_of(timeline):
        width = KEY_WIDTH + LETTER_WIDTH * len(key.words)
        if width > room:
            lines.append([])
            room = WIDTH * (RIGHT - LEFT)
        lines[-1].append(key)
        room -= width
    return lines


def _paint_legend(figure: Figure, keys: Sequence[Key], low: float) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Patch | Line2D] = []
    for key in keys:
        if key.mark == "line":
            handles.append(Line2D([], [], color=key.colour, label=key.words))
        elif key.mark == "hatch":
            handles.append(Patch(facecolor="none", edgecolor=key.colour, linewidth=0.5, hatch="//////", label=key.words))
        else:
            handles.append(Patch(facecolor=key.colour, label=key.words))
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(LEFT - 0.01, low), ncols=len(handles), handlelength=1.1,
        handleheight=1.0, columnspacing=1.2, handletextpad=0.4, borderpad=0.2, borderaxespad=0.0, fontsize=8,
    )  # fmt: skip


def shown_classes(timeline: Timeline) -> Sequence[int]:
    """The classes a picture of the timeline shows: all with probabilities, else those that were decoded or labelled."""
    if timeline.probabilities is not None:
        return range(len(timeline.class_names))
    found = [values for values in (timeline.decoded, timeline.labels) if values is not None]
    present = np.unique(np.concatenate(found)) if found else np.empty(0, np.int8)
    return [int(value) for value in present if value >= 0]
