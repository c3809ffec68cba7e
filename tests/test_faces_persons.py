"""Who is who in a video: links by overlap, and the person a track is about."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.faces.persons import PATIENCE, FaceTable, Linker, choose, overlaps, suffix

WIDTH = 100
Box = tuple[float, float, float, float]


def square(left: float, side: float = 10, top: float = 0) -> Box:
    return (left, top, left + side, top + side)


def table(frames: dict[int, list[Box]]) -> FaceTable:
    """The faces of some frames, linked as they come."""
    linker = Linker()
    rows: list[tuple[int, int, Box]] = []
    for frame, boxes in frames.items():
        links = linker.link(frame, np.array(boxes, dtype=np.float64).reshape(-1, 4))
        rows += [(frame, link, box) for link, box in zip(links, boxes, strict=True)]
    return FaceTable(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.int32),
        np.array([row[2] for row in rows], np.float64).reshape(-1, 4),
        WIDTH,
    )


def chosen(person: str, frames: dict[int, list[Box]]) -> dict[int, Box]:
    faces = table(frames)
    return {int(faces.frame[place]): tuple(faces.box[place].tolist()) for place in choose(person, faces)}


boxes = st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(1, 15)] * 2).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@given(boxes, boxes)
def test_overlap_is_that_of_the_pixels_counted(one: Box, other: Box) -> None:
    def cells(box: Box) -> NDArray[np.bool_]:
        grid = np.zeros((40, 40), bool)
        grid[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = True
        return grid

    common, either = (cells(one) & cells(other)).sum(), (cells(one) | cells(other)).sum()
    assert overlaps([one], [other])[0, 0] == pytest.approx(common / either)


def test_boxes_without_extent_overlap_nothing() -> None:
    assert overlaps([(3, 3, 3, 3)], [(3, 3, 3, 3), (0, 0, 9, 9)]).tolist() == [[0, 0]]


def test_a_face_that_moves_slowly_keeps_its_link() -> None:
    faces = table({frame: [square(2.0 * frame)] for frame in range(1, 30)})
    assert set(faces.link) == {0}


def test_two_faces_keep_their_links_whatever_their_order() -> None:
    linker = Linker()
    assert linker.link(1, np.array([square(0), square(50)])) == [0, 1]
    assert linker.link(2, np.array([square(51), square(1)])) == [1, 0]


def test_the_best_overlap_takes_the_link() -> None:
    linker = Linker()
    linker.link(1, np.array([square(0)]))
    assert linker.link(2, np.array([square(3), square(1)])) == [1, 0]


def test_a_face_lost_for_a_moment_keeps_its_link_and_one_lost_for_long_does_not() -> None:
    linker = Linker()
    linker.link(1, np.array([square(0)]))
    assert linker.link(1 + PATIENCE, np.array([square(0)])) == [0]
    assert linker.link(2 + 2 * PATIENCE, np.array([square(0)])) == [1]


def test_a_face_elsewhere_is_another() -> None:
    faces = table({1: [square(0)], 2: [square(40)]})
    assert faces.link.tolist() == [0, 1]


def test_largest_is_the_largest_of_each_frame_whoever_it_is() -> None:
    frames = {1: [square(0, 10), square(50, 20)], 2: [square(0, 10), square(50, 5)], 4: [square(0, 3)]}
    assert chosen("largest", frames) == {1: square(50, 20), 2: square(0, 10), 4: square(0, 3)}


def test_kept_follows_the_person_who_fills_most_of_the_video() -> None:
    frames = {frame: [square(0, 12), square(60, 30)] if frame == 3 else [square(0, 12)] for frame in range(1, 30)}
    assert set(chosen("kept", frames).values()) == {square(0, 12)}
    assert len(chosen("kept", frames)) == 29


def test_kept_goes_on_at_its_place_after_a_long_gap_and_not_with_somebody_elsewhere() -> None:
    person = {frame: [square(10)] for frame in (*range(1, 20), *range(200, 210), *range(400, 405))}
    stranger = {frame: [square(70)] for frame in range(100, 110)}
    frames = dict(sorted({**person, **stranger}.items()))
    assert sorted(chosen("kept", frames)) == [*range(1, 20), *range(200, 210), *range(400, 405)]


def test_kept_looks_back_before_the_main_part_too() -> None:
    frames = {frame: [square(10)] for frame in (*range(1, 4), *range(100, 140))}
    assert sorted(chosen("kept", frames)) == [*range(1, 4), *range(100, 140)]


def test_left_and_right_keep_their_person_while_the_other_is_gone() -> None:
    both = {frame: [square(20), square(60)] for frame in range(1, 10)}
    only_right = {frame: [square(60)] for frame in range(10, 15)}
    only_left = {frame: [square(20)] for frame in range(15, 20)}
    frames = {**both, **only_right, **only_left}
    assert chosen("left", frames) == {frame: square(20) for frame in (*range(1, 10), *range(15, 20))}
    assert chosen("right", frames) == {frame: square(60) for frame in range(1, 15)}


def test_a_person_who_comes_back_alone_is_told_by_the_line_between_the_two() -> None:
    # Both sit in the left half: the middle of the picture would take the right one for the left.
    both = {frame: [square(5), square(30)] for frame in range(1, 10)}
    frames = {**both, 100: [square(28)], 200: [square(7)]}
    assert 100 in chosen("right", frames)
    assert 100 not in chosen("left", frames)
    assert 200 in chosen("left", frames)
    assert 200 not in chosen("right", frames)


def test_one_person_alone_is_on_the_side_of_the_picture_where_the_face_is() -> None:
    frames = {frame: [square(70)] for frame in range(1, 5)}
    assert chosen("left", frames) == {}
    assert sorted(chosen("right", frames)) == [1, 2, 3, 4]


def test_somebody_between_two_persons_is_neither() -> None:
    frames = {frame: [square(0), square(40), square(80)] for frame in range(1, 5)}
    assert set(chosen("left", frames).values()) == {square(0)}
    assert set(chosen("right", frames).values()) == {square(80)}


def test_a_small_face_that_flickers_up_at_the_edge_does_not_push_the_person_out() -> None:
    frames = {frame: [square(20), square(60)] for frame in range(1, 10)}
    frames[5] = [square(20), square(60), square(0, 4)]
    assert chosen("left", frames)[5] == square(20)


@pytest.mark.parametrize("person", ["largest", "kept", "left", "right"])
def test_nobody_is_found_in_an_empty_video(person: str) -> None:
    assert chosen(person, {}) == {}


@given(st.lists(st.lists(boxes, max_size=3, unique=True), max_size=12), st.sampled_from(["largest", "kept", "left", "right"]))
def test_a_person_has_at_most_one_face_per_frame_in_order(frames: list[list[Box]], person: str) -> None:
    faces = table(dict(enumerate(frames, 1)))
    numbers = faces.frame[choose(person, faces)]
    assert (np.diff(numbers) > 0).all()
    if person == "largest":
        assert numbers.tolist() == [number for number, found in enumerate(frames, 1) if found]


@given(st.lists(st.lists(boxes, max_size=3, unique=True), max_size=12))
def test_no_face_is_both_the_left_and_the_right_person(frames: list[list[Box]]) -> None:
    faces = table(dict(enumerate(frames, 1)))
    assert not set(choose("left", faces).tolist()) & set(choose("right", faces).tolist())


def test_only_left_and_right_are_in_the_tracks_name() -> None:
    assert [suffix(person) for person in ("largest", "kept", "left", "right")] == ["", "", "_left", "_right"]


def test_the_kept_person_is_followed_backwards_from_link_to_link() -> None:
    """Each link begins where the one before it ended; the first has nothing in common with the longest, which is the last."""
    frames = {1: [square(0)], 30: [square(5)], 60: [square(10)], **{frame: [square(10)] for frame in range(61, 70)}}
    assert overlaps([square(0)], [square(10)])[0, 0] == 0
    assert len(set(table(frames).link.tolist())) == 3
    assert sorted(chosen("kept", frames)) == sorted(frames)


def test_the_kept_person_is_followed_forwards_from_link_to_link() -> None:
    frames = {**{frame: [square(10)] for frame in range(1, 10)}, 30: [square(15)], 60: [square(20)]}
    assert sorted(chosen("kept", frames)) == sorted(frames)
