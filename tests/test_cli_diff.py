"""harness compare --changes: shares, pairs and runs of change, for own and foreign submissions of every challenge."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.challenge import AU, EXPR, VA, Challenge, format_of
from harness.cli import main
from harness.errors import EXIT_DATA, EXIT_DONE, MismatchError
from harness.sending.difference import DifferingRows, difference
from harness.submission.build import build
from harness.submission.reader import Answer


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["compare", "--changes", *map(str, arguments)])
    return int(caught.value.code or 0)


def answer(values: dict[str, Any], challenge: Challenge = EXPR) -> Answer:
    dtype = np.int8 if challenge.integral else np.float64
    frames = {name: np.arange(1, len(array) + 1, dtype=np.int32) for name, array in values.items()}
    return Answer(format_of(challenge.name, 5), {name: np.array(array, dtype) for name, array in values.items()}, frames)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from("abc"), st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=30), min_size=1
    )
)
def test_counts_pairs_and_runs_are_those_of_a_slow_loop(pairs: dict[str, list[tuple[int, int]]]) -> None:
    one = answer({name: [left for left, _ in rows] for name, rows in pairs.items()})
    other = answer({name: [right for _, right in rows] for name, rows in pairs.items()})
    result = difference(one, other)
    every = [pair for rows in pairs.values() for pair in rows]
    assert result.rows == len(every)
    assert result.differing == sum(left != right for left, right in every)
    assert {name: (rows, count) for name, rows, count in result.tracks} == {
        name: (len(rows), sum(left != right for left, right in rows)) for name, rows in pairs.items()
    }
    found = {(one, other): count for one, other, count in result.fields[0].pairs}
    for left in range(8):
        for right in range(8):
            wanted = every.count((left, right)) if left != right else 0
            assert found.get((EXPR.class_names[left], EXPR.class_names[right]), 0) == wanted
    runs = []
    for name, rows in pairs.items():
        position = 0
        for differs, group in groupby(rows, key=lambda pair: pair[0] != pair[1]):
            length = len(list(group))
            if differs:
                runs.append(DifferingRows(name, position + 1, position + length, length))
            position += length
    assert sorted(result.runs, key=str) == sorted(runs, key=str)
    assert [run.length for run in result.runs] == sorted((run.length for run in runs), reverse=True)


def test_the_most_changed_track_comes_first() -> None:
    one = answer({"long": [0] * 100, "short": [0] * 4, "same": [1]})
    other = answer({"long": [0] * 90 + [1] * 10, "short": [1, 1, 0, 0], "same": [1]})
    assert difference(one, other).tracks == (("short", 4, 2), ("long", 100, 10), ("same", 1, 0))


def test_units_are_compared_one_by_one() -> None:
    before = np.zeros((3, 12), np.int8)
    after = before.copy()
    after[0, 0] = after[2, 0] = after[2, 11] = 1
    result = difference(answer({"a": before}, AU), answer({"a": after}, AU))
    assert result.differing == 2
    assert {field.name: field.pairs for field in result.fields if field.rows} == {
        "AU1": (("0", "1", 2),),
        "AU26": (("0", "1", 1),),
    }


def test_real_values_are_compared_by_their_distance() -> None:
    one, other = answer({"a": [[0.5, 0.0], [0.1, 0.2]]}, VA), answer({"a": [[0.5, 0.0], [-0.1, 0.2]]}, VA)
    valence, arousal = difference(one, other).fields
    assert valence.rows == 1
    assert valence.mean == pytest.approx(0.1)
    assert valence.largest == pytest.approx(0.2)
    assert (arousal.rows, arousal.mean, arousal.largest) == (0, 0, 0)


def two(folder: Path) -> tuple[Path, Path]:
    labels = np.array([0] * 50 + [4] * 50, np.int8)
    build(folder / "one", [("video1", labels), ("video2", labels)], EXPR, 5, None, {})
    build(folder / "two", [("video1", np.roll(labels, 5)), ("video2", labels)], EXPR, 5, None, {})
    return folder / "one", folder / "two"


def test_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = two(tmp_path)
    assert run(one, other) == EXIT_DONE
    assert capsys.readouterr().out.splitlines() == [
        f"EXPR: A = {one}, B = {other}",
        "10 of 200 rows differ (5.00 %), in 1 of 2 tracks",
        "",
        "most frequent changes",
        "  Neutral to Happiness                2.50 %  5 rows",
        "  Happiness to Neutral                2.50 %  5 rows",
        "",
        "most changed tracks",
        "  video1                             10.00 %  10 of 100 rows",
        "",
        "2 runs of changed rows, median length 5 rows; the longest:",
        "  video1                           frames 1 to 5 (5 rows)",
        "  video1                           frames 51 to 55 (5 rows)",
        "",
        f"next: harness inspect {other} video1",
    ]


def test_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = two(tmp_path)
    assert run(one, other, "--json") == EXIT_DONE
    document = json.loads(capsys.readouterr().out)
    assert document["share"] == 0.05
    assert document["fields"][0]["pairs"][0] == {"from": "Neutral", "to": "Happiness", "rows": 5}
    assert document["runs"][0] == {"track": "video1", "first": 1, "last": 5, "rows": 5}


def test_a_folder_and_a_foreign_file_with_the_same_rows_are_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = two(tmp_path)
    assert run(one, one / "predictions.txt") == EXIT_DONE
    assert "200 rows, all the same" in capsys.readouterr().out
    assert run(one / "predictions.txt", other) == EXIT_DONE
    assert "10 of 200 rows differ" in capsys.readouterr().out


def test_other_tracks_rows_or_challenges_are_refused_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, _ = two(tmp_path)
    build(tmp_path / "short", [("video1", np.zeros(99, np.int8)), ("video3", np.zeros(2, np.int8))], EXPR, 5, None, {})
    assert run(one, tmp_path / "short") == EXIT_DATA
    printed = capsys.readouterr().err
    for words in ("video1: 100 and 99 rows", "video2: 100 and 0 rows", "video3: 0 and 2 rows"):
        assert words in printed
    build(tmp_path / "affect", [("video1", np.zeros((100, 2)))], VA, 5, None, {})
    assert run(one, tmp_path / "affect") == EXIT_DATA
    assert "different challenges" in capsys.readouterr().err


def test_a_faulty_submission_is_refused_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, _ = two(tmp_path)
    faulty = tmp_path / "predictions.txt"
    faulty.write_text((one / "predictions.txt").read_text().replace("00007.jpg,0", "00007.jpg,9"))
    assert run(one, faulty) == EXIT_DATA
    assert f"{faulty}:8: " in capsys.readouterr().err


def test_rows_in_another_order_are_compared_frame_by_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, _ = two(tmp_path)
    header, *rows = (one / "predictions.txt").read_text().splitlines()
    turned = tmp_path / "turned_predictions.txt"
    turned.write_text("\n".join([header, *reversed(rows)]) + "\n")
    assert run(one, turned) == EXIT_DONE
    assert "200 rows, all the same" in capsys.readouterr().out
    turned.write_text(turned.read_text().replace("video2/00100.jpg,4", "video2/00100.jpg,0"))
    assert run(one, turned, "--json") == EXIT_DONE
    assert json.loads(capsys.readouterr().out)["runs"] == [{"track": "video2", "first": 100, "last": 100, "rows": 1}]


def sparse(path: Path, frames: tuple[int, ...], valences: tuple[float, ...]) -> Path:
    """A multi-task answer to some frames of one track."""
    rows = [f"a/{frame:05d}.jpg,{valence},0.5,3," + ",".join("0" * 12) for frame, valence in zip(frames, valences, strict=True)]
    path.write_text("\n".join([format_of("MTL", 7).header, *rows]) + "\n")
    return path


def test_answers_to_other_frames_are_refused_though_they_are_as_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = sparse(tmp_path / "one_predictions.txt", (1, 8, 17), (0.1, 0.2, 0.3))
    other = sparse(tmp_path / "other_predictions.txt", (1, 9, 99), (0.1, 0.2, 0.3))
    assert run(one, other) == EXIT_DATA
    assert "a/00008.jpg beside a/00009.jpg" in capsys.readouterr().err


def test_runs_of_change_are_named_by_their_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = sparse(tmp_path / "one_predictions.txt", (1, 8, 17, 21), (0.1, 0.2, 0.3, 0.4))
    other = sparse(tmp_path / "other_predictions.txt", (1, 8, 17, 21), (0.1, 0.25, 0.35, 0.4))
    assert run(one, other, "--json") == EXIT_DONE
    assert json.loads(capsys.readouterr().out)["runs"] == [{"track": "a", "first": 8, "last": 17, "rows": 2}]


@pytest.mark.parametrize(("tracks", "more"), [(5, ""), (7, ", and 2 more")])
def test_five_tracks_with_other_rows_are_named_and_the_rest_counted(tracks: int, more: str) -> None:
    one = answer({**{f"t{k}": [0] * 3 for k in range(tracks)}, "same": [0]})
    other = answer({**{f"t{k}": [0] * 4 for k in range(tracks)}, "same": [1]})
    with pytest.raises(MismatchError) as refusal:
        difference(one, other)
    named = "; ".join(f"t{k}: 3 and 4 rows" for k in range(5))
    assert refusal.value.found == named + more


@pytest.mark.parametrize(("tracks", "more"), [(5, ""), (7, ", and 2 more tracks")])
def test_five_tracks_with_rows_of_other_frames_are_named_and_the_rest_counted(tracks: int, more: str) -> None:
    one = answer({**{f"t{k}": [0] * 3 for k in range(tracks)}, "same": [0]})
    frames = {name: np.array([1, 2, 5], np.int32) if name != "same" else of for name, of in one.frames.items()}
    with pytest.raises(MismatchError) as refusal:
        difference(one, replace(one, frames=frames))
    named = "; ".join(f"t{k}/00003.jpg beside t{k}/00005.jpg" for k in range(5))
    assert refusal.value.found == named + more


def test_answers_to_different_challenges_are_not_compared() -> None:
    with pytest.raises(MismatchError, match="these answer different challenges"):
        difference(answer({"a": [0]}), answer({"a": [[0.0, 0.0]]}, VA))
