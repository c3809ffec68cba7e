"""Timelines: what is drawn for each frame, that it is the same each time, and that colour-blind people can read it."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import NDArray

from harness.challenge import EXPR
from harness.report import figures, page
from harness.report.palette import CLASS_COLOURS, ERROR, RUN_COLOURS, class_colours, class_letters, ink_on, rgb
from harness.report.timeline import (
    ANSWERED,
    TRUE,
    UNIT_LINES,
    Timeline,
    column_majorities,
    column_means,
    columns_of,
    draw,
    floor_of,
    legend_of,
    stretches,
    time_text,
    true_stretches,
)

# Machado, Oliveira and Fernandes 2009, A Physiologically-based Model for Simulation of Color Vision Deficiency, severity 1.0.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}


def example(rows: int = 120, seed: int = 0, **changes: Any) -> Timeline:
    generator = np.random.default_rng(seed)
    logits = np.cumsum(generator.normal(size=(rows, 8)), axis=0) / 4
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    decoded = probabilities.argmax(axis=1).astype(np.int8)
    labels = np.roll(decoded, 3)
    labels[: rows // 10] = -1
    imputed = np.zeros(rows, dtype=bool)
    imputed[rows // 3 : rows // 2] = True
    values: dict[str, Any] = {
        "track": "video1",
        "rows": rows,
        "class_names": EXPR.class_names,
        "decoded": decoded,
        "labels": labels,
        "imputed": imputed,
        "probabilities": probabilities,
        "unsmoothed": probabilities,
        "frame_rate": 30.0,
    }
    return Timeline(**{**values, **changes})


def lab(colour: str, blindness: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIE L*a*b* of a colour as somebody with this blindness sees it."""
    parts = np.array(rgb(colour)) / 255
    linear = np.clip(blindness @ np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4), 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ linear / (0.9505, 1.0, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("kind", BLINDNESS)
def test_neighbouring_classes_differ_clearly_for_colour_blind_people(kind: str) -> None:
    seen = [lab(colour, BLINDNESS[kind]) for colour in class_colours(EXPR.class_names)]
    for first, second in itertools.pairwise(range(len(seen))):
        assert np.linalg.norm(seen[first] - seen[second]) > 20, (EXPR.class_names[first], EXPR.class_names[second])
    for first, second in itertools.combinations(range(len(seen)), 2):
        assert np.linalg.norm(seen[first] - seen[second]) > 15, (EXPR.class_names[first], EXPR.class_names[second])


def test_every_class_of_the_challenge_has_a_colour_of_its_own_whatever_the_order() -> None:
    assert tuple(CLASS_COLOURS) == EXPR.class_names
    assert len(set(CLASS_COLOURS.values())) == len(EXPR.class_names)
    assert class_colours(tuple(reversed(EXPR.class_names))) == list(reversed(class_colours(EXPR.class_names)))


def test_letters_of_classes_are_different_even_when_names_are_not() -> None:
    assert class_letters(EXPR.class_names) == ["N", "A", "D", "F", "H", "S", "U", "O"]
    assert len(set(class_letters(["Anger"] * 12))) == 12


@pytest.mark.parametrize("colour", CLASS_COLOURS.values())
def test_text_on_a_class_colour_has_a_contrast_of_at_least_4_5(colour: str) -> None:
    dark, light = sorted((luminance(colour), luminance(ink_on(colour))))
    assert (light + 0.05) / (dark + 0.05) >= 4.5


@given(st.lists(st.integers(-1, 3), max_size=40))
def test_stretches_put_together_are_the_values_again(values: list[int]) -> None:
    array = np.array(values, dtype=np.int8)
    again = [value for start, length in stretches(array) for value in [array[start]] * length]
    assert again == values
    assert all(array[start] != array[start - 1] for start, _ in stretches(array) if start)


def test_true_stretches_are_the_gaps() -> None:
    assert true_stretches(np.array([True, False, False, True, True])) == [(0, 1), (3, 2)]
    assert true_stretches(np.zeros(0, dtype=bool)) == []


@settings(max_examples=50)
@given(st.integers(1, 500), st.integers(1, 80))
def test_columns_share_the_rows_and_none_is_empty(rows: int, most: int) -> None:
    starts = columns_of(rows, most)
    lengths = np.diff(np.append(starts, rows))
    assert starts[0] == 0
    assert len(starts) == min(rows, most)
    assert lengths.min() >= 1
    assert lengths.max() - lengths.min() <= 1


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.integers(1, 50), st.integers(0, 2**31))
def test_column_means_and_majorities_agree_with_a_loop(rows: int, most: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    values, classes = generator.random((rows, 3)), generator.integers(-1, 3, rows).astype(np.int8)
    starts = columns_of(rows, most)
    ends = [*starts[1:].tolist(), rows]
    np.testing.assert_allclose(
        column_means(values, starts), [values[a:b].mean(axis=0) for a, b in zip(starts, ends, strict=True)]
    )
    expected = []
    for a, b in zip(starts.tolist(), ends, strict=True):
        counts = np.bincount(classes[a:b] + 1, minlength=4)
        expected.append(-1 if counts[0] > (b - a) / 2 else int(counts[1:].argmax()))
    assert column_majorities(classes, starts, 3).tolist() == expected


def test_confidence_is_the_probability_of_the_decoded_class_and_wrong_needs_a_label() -> None:
    timeline = example(
        4,
        probabilities=np.eye(8)[[0, 1, 2, 3]] * 0.9,
        decoded=np.array([0, 1, 5, -1], np.int8),
        labels=np.array([-1, 2, 5, 3], np.int8),
    )
    assert timeline.confidence is not None
    np.testing.assert_allclose(timeline.confidence, [0.9, 0.9, 0, 0])
    assert timeline.wrong is not None
    assert timeline.wrong.tolist() == [False, True, False, True]


def test_time_is_minutes_and_seconds() -> None:
    assert time_text(0) == "0:00.0"
    assert time_text(67.46) == "1:07.5"
    assert time_text(59.96) == "1:00.0"


@pytest.mark.parametrize("rows", [1, 2, 30, 5000])
def test_a_picture_is_the_same_each_time(rows: int) -> None:
    pictures = []
    for _ in range(2):
        with figures.drawing():
            figure = draw(example(rows), "video1")
            pictures.append(
                (figures.svg_bytes(figure), figures.png_bytes(figure), figures.inline_svg(figure, "a", "the timeline"))
            )
    assert pictures[0] == pictures[1]
    assert pictures[0][1].startswith(b"\x89PNG")
    assert len(pictures[0][2]) < 60_000


def test_a_picture_names_nothing_it_does_not_know() -> None:
    text_only = example(50, probabilities=None, unsmoothed=None, labels=None, imputed=None, frame_rate=None)
    with figures.drawing():
        svg = figures.inline_svg(draw(text_only), "a", "the timeline")
    words = "".join(ElementTree.fromstring(svg).itertext())
    assert "predicted" in words
    assert not [word for word in ("probability", "confidence", "label", "wrong", "imputed", "time") if word in words]


def test_values_of_other_challenges_are_drawn_as_lines_and_marks() -> None:
    values = Timeline("video1", 40, units={"AU1": np.arange(40, dtype=np.int8) % 2}, reals={"valence": np.sin(np.arange(40) / 5)})
    with figures.drawing():
        svg = figures.inline_svg(draw(values), "a", "the timeline")
    words = "".join(ElementTree.fromstring(svg).itertext())
    assert "AU1" in words
    assert "valence" in words


def test_the_legend_of_all_tasks_at_once_fits_the_picture_below_the_frames() -> None:
    everything = example(
        60,
        units={f"AU{k}": np.zeros(60, np.int8) for k in (1, 2, 26)},
        unit_labels={f"AU{k}": np.full(60, -1, np.int8) for k in (1, 2, 26)},
        reals={"valence": np.zeros(60)},
        real_labels={"valence": np.zeros(60)},
        rough_reals={"valence": np.ones(60)},
    )
    words = [key.words for key in legend_of(everything)]
    others = ["predicted", "label", "unit not labelled", "before smoothing", "no face, imputed"]
    assert words == [*EXPR.class_names, *others]
    with figures.drawing():
        figure = draw(everything, "video1")
        canvas: Any = FigureCanvasAgg(figure)
        renderer = canvas.get_renderer()
        figure.draw(renderer)
        assert [text.get_text() for legend in figure.legends for text in legend.get_texts()] == words
        boxes = [legend.get_window_extent(renderer) for legend in figure.legends]
        frames = [label.get_window_extent(renderer) for label in figure.axes[-1].get_xticklabels() if label.get_text()]
        texts = [text.get_window_extent(renderer) for text in figure.texts]
    assert len(boxes) == 2
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y0 >= 0
        assert not any(box.overlaps(other) for other in [*frames, *texts])
    assert not boxes[0].overlaps(boxes[1])


def test_a_value_has_a_scale_of_its_own_in_every_lane() -> None:
    values = Timeline("video1", 40, reals={"valence": np.zeros(40), "arousal": np.ones(40)})
    with figures.drawing():
        lanes = draw(values).axes
    assert [[label.get_text() for label in lane.get_yticklabels()] for lane in lanes] == [["−1", "0", "1"]] * 2
    assert len({label.get_fontsize() for lane in lanes for label in lane.get_yticklabels()}) == 1


def test_marks_of_a_unit_stand_in_its_own_rows_answers_above_labels() -> None:
    active = np.array([0, 1, 1, 0], np.int8)
    units = Timeline(
        "video1", 4, units={"AU1": active, "AU2": active * 0}, unit_labels={"AU1": active[::-1] * 0 + 1, "AU2": active}
    )
    with figures.drawing():
        (image,) = draw(units).axes[0].images
    pixels = np.asarray(image.get_array())
    first, second = pixels[UNIT_LINES:], pixels[:UNIT_LINES]  # the first unit on top, and the first line at the bottom
    for rows, answered, labelled in ((first, active, np.ones(4)), (second, active * 0, active)):
        for line, colour, flags in ((1, TRUE, labelled), (2, TRUE, labelled), (3, ANSWERED, answered), (4, ANSWERED, answered)):
            shown = (rows[line, :, :3] == rgb(colour)).all(axis=1) & (rows[line, :, 3] == 255)
            assert shown.tolist() == (flags == 1).tolist()
        assert (rows[[0, 5], :, 3] < 255).all()


def test_the_floor_of_a_picture_is_where_its_last_lane_ends() -> None:
    for timeline in (example(60), example(60, probabilities=None, unsmoothed=None)):
        with figures.drawing():
            figure = draw(timeline, with_legend=False)
        assert figure.axes[-1].get_position().y0 == pytest.approx(floor_of(timeline))


def luminance(colour: str) -> float:
    """Relative luminance after WCAG 2.2."""
    parts = np.array(rgb(colour)) / 255
    return float(np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize("colour", [*RUN_COLOURS, ERROR, ANSWERED, TRUE])
def test_lines_are_seen_on_a_light_page_and_on_a_dark_one(colour: str) -> None:
    surfaces = set(re.findall(r"--surface: (#\w+)", Path(page.__file__).with_name("page.css").read_text()))
    assert len(surfaces) == 2
    for surface in surfaces:
        dark, light = sorted((luminance(colour), luminance(surface)))
        assert (light + 0.05) / (dark + 0.05) >= 3.5, surface


def test_a_hostile_title_stays_text_in_a_picture() -> None:
    hostile = '<script>alert(1)</script> $\\frac{1}{2}$ {{7*7}} "onload="x" 表情'
    with figures.drawing():
        figure = draw(example(20), hostile)
        inline = figures.inline_svg(figure, "a", hostile)
        figures.svg_bytes(figure)
    tree = ElementTree.fromstring(inline)
    assert "<script" not in inline
    assert not [name for element in tree.iter() for name in element.attrib if name.startswith("on") or name == "style"]
    assert hostile in "".join(tree.itertext())
    assert tree.attrib["aria-label"] == hostile


def test_the_colours_of_the_theme_are_left_to_the_page_and_identifiers_do_not_clash() -> None:
    with figures.drawing():
        first, second = (figures.inline_svg(draw(example(20)), prefix, "x") for prefix in ("one", "two"))
    identifiers = [
        {element.attrib["id"] for element in ElementTree.fromstring(svg).iter() if "id" in element.attrib}
        for svg in (first, second)
    ]
    assert identifiers[0]
    assert not identifiers[0] & identifiers[1]
    assert "currentColor" in first
    assert "var(--muted)" in first
    references = {
        value[5:-1] for element in ElementTree.fromstring(first).iter() for value in element.attrib.values() if "url(#" in value
    }
    assert references <= identifiers[0]
