"""The plots of a report hold the numbers they are made from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from harness.evaluation.calibration import calibration, reliability
from harness.evaluation.intervals import Estimate
from harness.report import figures, plots
from harness.report.legend import Key, as_svg
from harness.report.palette import MUTED, RUN_MARKERS


@pytest.fixture(autouse=True)
def drawing() -> Iterator[None]:
    with figures.drawing():
        yield


def heights(axes: Any) -> list[float]:
    return [bar.get_height() for bar in axes.patches]


def abscissas(axes: Any) -> list[tuple[float, ...]]:
    return [tuple(line.get_xdata()) for line in axes.lines]


def test_losses_come_first_and_what_is_no_number_is_left_out() -> None:
    lines: list[dict[str, Any]] = [
        {"step": 1, "learning_rate": 0.1, "loss": 2.0, "note": "text"},
        {"step": 2, "learning_rate": 0.2, "loss": float("nan"), "best": True},
        {"step": "x", "loss": 7.0},
        {"step": 3, "macro_f1": 0.5},
    ]
    found = {series.name: (series.step.tolist(), series.value.tolist()) for series in plots.series_of(lines)}
    assert found == {"loss": ([1.0], [2.0]), "learning_rate": ([1.0, 2.0], [0.1, 0.2]), "macro_f1": ([3.0], [0.5])}
    assert next(iter(found)) == "loss"


def test_long_curves_are_thinned_to_means_and_keep_their_mean() -> None:
    lines = [{"step": k + 1, "loss": float(k % 7)} for k in range(8000)]
    lines += [{"step": k, "macro_f1": k / 8000} for k in range(1000, 8001, 1000)]
    (title, curve), (last, points) = plots.training_curves(lines)
    assert (title, last) == ("loss", "validation while training")
    line: Any = curve.figure.axes[0].lines[0]
    assert len(line.get_xdata()) == plots.MOST_POINTS
    assert np.mean(line.get_ydata()) == pytest.approx(np.mean([line["loss"] for line in lines if "loss" in line]))
    assert [key.words for key in points.legend] == ["macro-F1, best 1.000"]


def test_no_metrics_make_no_curves() -> None:
    assert plots.training_curves([]) == []


def test_the_reliability_diagram_shows_the_bins() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(8) / 2, 500)
    result = calibration([reliability(probabilities, generator.integers(0, 8, 500))])
    upper, lower = plots.reliability(result).figure.axes
    assert heights(upper) == result.accuracy[result.frames > 0].tolist()
    assert sum(heights(lower)) == pytest.approx(1)


def test_intervals_are_drawn_where_there_are_any() -> None:
    rows: list[tuple[str, list[tuple[str, Estimate | None]]]] = [
        ("a", [("now", Estimate(0.4, 0.3, 0.6)), ("before", None)]),
        ("b", [("now", Estimate(0.5, None, None)), ("before", Estimate(0.2, 0.1, 0.3))]),
    ]
    assert abscissas(plots.score_intervals(rows, "F1").figure.axes[0]) == [(0.3, 0.6), (0.4,), (0.5,), (0.1, 0.3), (0.2,)]


def test_a_score_below_0_or_above_1_lies_within_its_plot() -> None:
    rows: list[tuple[str, list[tuple[str, Estimate | None]]]] = [("a", [("now", Estimate(-0.13, -0.31, 0.1))])]
    assert plots.score_intervals(rows, "CCC").figure.axes[0].get_xlim() == pytest.approx((-0.4, 1))
    rows = [("a", [("now", Estimate(1.42, 1.1, 1.73))]), ("b", [("now", Estimate(0.2, None, None))])]
    assert plots.score_intervals(rows, "score of all tasks").figure.axes[0].get_xlim() == pytest.approx((0, 1.8))


def test_differences_never_reach_beyond_one() -> None:
    rows = [("macro-F1", 0.2, -4.0, 5.0), ("Anger", 0.0, float("nan"), float("nan"))]
    axes = plots.differences(rows, "difference of F1").figure.axes[0]
    assert axes.get_xlim() == (-1.0, 1.0)


def test_gaps_are_counted_in_classes_that_double() -> None:
    axes = plots.gap_lengths([1, 2, 3, 3, 4, 7, 8]).figure.axes[0]
    assert heights(axes) == [1, 3, 2, 1]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2–3", "4–7", "8–15"]


def test_weights_are_written_beside_their_bars() -> None:
    figure = plots.weights([("a", 0.25), ("b", 0.75)]).figure
    bars: Any = figure.axes[0].patches
    assert [bar.get_width() for bar in bars] == [0.25, 0.75]
    words = "".join(ElementTree.fromstring(figures.inline_svg(figure, "w", "weights")).itertext())
    assert "0.250" in words
    assert "0.750" in words


def test_legends_stand_beside_the_plots_and_each_run_has_its_own_mark() -> None:
    names = [f"run{k}" for k in range(5)]
    plot = plots.score_intervals([("F1", [(name, Estimate(k / 4, 0.0, 1.0)) for k, name in enumerate(names)])], "F1")
    assert [key.words for key in plot.legend] == names
    assert len({(key.colour, key.mark) for key in plot.legend}) == len(names)
    assert not plot.figure.legends
    assert plot.figure.axes[0].get_legend() is None
    drawn = [line for line in plot.figure.axes[0].lines if line.get_marker() != "None"]
    assert [(line.get_color(), line.get_marker()) for line in drawn] == [(key.colour, key.mark) for key in plot.legend]


def test_markers_at_the_edge_are_whole() -> None:
    """Scores of 0 and 1 and differences of 1 stand on the frame of their plot."""
    for plot in (
        plots.score_intervals([("a", [("now", Estimate(0.0, None, None)), ("then", Estimate(1.0, 0.9, 1.0))])], "F1"),
        plots.differences([("a", 1.0, 0.9, 1.0)], "difference"),
        plots.training_curves([{"step": k, "loss": 1.0, **({"f1": 1.0} if k == 9 else {})} for k in range(10)])[-1][1],
    ):
        marked = [line for line in plot.figure.axes[0].lines if line.get_marker() != "None"]
        assert marked
        assert not any(line.get_clip_on() for line in marked)


@pytest.mark.parametrize("mark", ["bar", "line", "tick", "dashes", "hatch", "dot", "ring", *RUN_MARKERS])
def test_every_mark_of_a_legend_is_drawn_in_its_colour(mark: str) -> None:
    tree = ElementTree.fromstring(as_svg(Key("words", "#123456", mark)))
    assert tree.attrib["class"] == "key"
    assert all(path.attrib["d"] for path in tree)
    assert "#123456" in [path.attrib.get(name) for path in tree for name in ("fill", "stroke")]
    assert 'var(--muted)"' in as_svg(Key("words", MUTED, mark))
