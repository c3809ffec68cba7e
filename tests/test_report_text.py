"""Timelines as text: width, letters, alphabets, and nothing a terminal would obey."""

from __future__ import annotations

import click
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.challenge import EXPR
from harness.report.text import ASCII, BLOCKS, DEFAULT_WIDTH, alphabet, as_text
from harness.report.timeline import Timeline
from tests.test_report_timeline import example


def lanes(timeline: Timeline, width: int = 80) -> dict[str, str]:
    lines = click.unstyle(as_text(timeline, width)).splitlines()
    return {line[:12].strip(): line[13:] for line in lines if len(line) > 12}


def test_each_frame_is_a_letter_when_there_is_room() -> None:
    decoded = np.array([0, 0, 4, 4, 5, 6, 7, -1], np.int8)
    labels = np.array([-1, 0, 4, 5, 5, 6, 7, 7], np.int8)
    imputed = np.array([False] * 6 + [True] * 2)
    shown = lanes(Timeline("v", 8, EXPR.class_names, decoded, labels, imputed))
    assert shown["predicted"] == "NNHHSUO·"
    assert shown["label"] == "·NHSSUOO"
    assert shown["wrong"] == "   ×   ×"
    assert shown["no face"] == "      ░░"
    assert shown["frame"] == "|1"


def test_many_frames_share_a_column_and_the_ruler_counts_them() -> None:
    decoded = np.repeat(np.array([1, 3], np.int8), 670)
    shown = lanes(Timeline("v", 1340, EXPR.class_names, decoded), width=80)
    assert shown["predicted"] == "A" * 34 + "F" * 33
    assert shown["frame"].split() == ["|1", "|241", "|481", "|721", "|961", "|1201"]


def test_the_summary_counts_as_a_loop_does() -> None:
    timeline = example(120)
    text = click.unstyle(as_text(timeline, 120))
    assert timeline.decoded is not None
    assert timeline.labels is not None
    changes = sum(a != b for a, b in zip(timeline.decoded, timeline.decoded[1:], strict=False))
    wrong = sum(label >= 0 and label != decoded for label, decoded in zip(timeline.labels, timeline.decoded, strict=True))
    assert f"{changes} change" in text
    assert f"wrong: {wrong} of {(timeline.labels >= 0).sum()} labelled frames" in text
    assert "20 frames in 1 gap, the longest 41 to 60" in text
    assert "0:04.0 at 30 frames per second" in text


@settings(max_examples=60, deadline=None)
@given(width=st.integers(0, 200), rows=st.integers(1, 400), signs=st.sampled_from([BLOCKS, ASCII]))
def test_no_line_is_wider_than_asked(width: int, rows: int, signs: object) -> None:
    assert signs in (BLOCKS, ASCII)
    text = click.unstyle(as_text(example(rows), width, BLOCKS if signs is BLOCKS else ASCII))
    room = DEFAULT_WIDTH if width == 0 else max(width, 13)  # the longest entry of the key is never broken
    assert max(map(len, text.splitlines())) <= room


def test_plain_ascii_where_the_output_can_say_no_more() -> None:
    assert alphabet("utf-8") is BLOCKS
    assert alphabet("ascii") is alphabet(None) is alphabet("no such encoding") is alphabet("latin-1") is ASCII
    text = as_text(example(50, track="Überraschung 表情"), 80, ASCII)
    assert text.isascii()


@pytest.mark.parametrize("name", ["\x1b]0;owned\x07", "a\x1b[2Jb", "x\u202egpj", "\x9b31m", "new\nline\rback"])
def test_a_hostile_track_name_moves_no_cursor(name: str) -> None:
    text = click.unstyle(as_text(example(20, track=name), 80))
    assert not [character for character in text if not character.isprintable() and character != "\n"]


def test_other_challenges_show_their_values() -> None:
    shown = lanes(Timeline("v", 4, units={"AU1": np.array([0, 1, 1, 0], np.int8)}, reals={"valence": np.array([-1.0, 0, 1, 1])}))
    assert shown["AU1"] == " ██ "
    assert shown["valence"] == " ▄██"
