"""Runs and texts of values, units and all three tasks: evaluated, compared, listed, shown and reported like those of classes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.challenge import AU, MTL, VA, Challenge
from harness.data.scan import scan
from harness.data.tracks import DataRoot
from harness.demo.drawn import write_drawn_root
from harness.errors import EXIT_DONE, EXIT_USAGE
from harness.evaluation.evaluate import evaluate
from harness.kinds.parts import parts_of
from harness.postprocess.chain import PostProcessing
from harness.rows.labelled import of_run
from harness.rows.predictions import RunPredictions
from harness.runs.store import Run
from harness.submission.from_run import write_submission
from tests.browser import Browser
from tests.command_line import harness
from tests.scored_challenges import simulated_run

each = pytest.mark.parametrize("challenge", [VA, AU, MTL], ids=lambda one: one.name)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of all challenges, two runs of each challenge, and what the first of each would send."""
    place = tmp_path_factory.mktemp("judged")
    write_drawn_root(place / "root", tracks=(1, 5, 1), rows=60, other_challenges=True)
    for challenge in (VA, AU, MTL):
        root = data_root(place, challenge)
        good = simulated_run(root, place / "runs" / f"{challenge.name}-good", 0.5)
        simulated_run(root, place / "runs" / f"{challenge.name}-poor", 2.5, seed=1)
        predictions = RunPredictions(good, "val", PostProcessing(), root)
        write_submission(predictions, place / "sent" / challenge.name, None, None, {"split": "val"})
    return place


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def data_root(place: Path, challenge: Challenge) -> DataRoot:
    return scan(place / "root", challenge=challenge)


def printed_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    capsys.readouterr()
    assert harness(*arguments, "--json") == EXIT_DONE
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return value


@each
def test_a_run_and_its_texts_score_the_same(challenge: Challenge, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_the_run = printed_json(capsys, "evaluate", f"{challenge.name}-good")
    root = data_root(place, challenge)
    predictions = RunPredictions(simulated_run(root, Path("runs") / f"{challenge.name}-good", 0.5), "val", PostProcessing(), root)
    expected = evaluate(of_run(predictions, root), challenge).all_labelled
    assert of_the_run["all_labelled"]["usual_score"]["value"] == expected.usual_score.value
    for arguments in (
        (f"sent/{challenge.name}", "--data", "root"),
        (f"sent/{challenge.name}/predictions.txt", "--data", "root", "--challenge", challenge.name.lower()),
        (f"sent/{challenge.name}/predictions.txt", "--data", "root"),
    ):
        found = printed_json(capsys, "evaluate", *arguments)
        for name, one in expected.measures.items():
            assert found["all_labelled"]["measures"][name]["value"] == pytest.approx(one.value, abs=1e-6)
        assert found["with_face"]["frames"] == of_the_run["with_face"]["frames"]
        assert found["challenge"] == challenge.name


def test_answers_adjusted_by_hand_are_scored_as_slow_decisions_are(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by_hand = ("--class-bias", "Fear=1,Other=-2", "--threshold", "AU1=0.2", "--scale", "1.5", "--shift", "arousal=0.1")
    found = printed_json(capsys, "evaluate", "MTL-good", "--smooth", "0", *by_hand)
    root = data_root(place, MTL)
    predictions = RunPredictions(Run(Path("runs") / "MTL-good"), "val", PostProcessing(seconds=0.0), root)
    expected = []
    for track, scored, predicted in zip(root.split("val"), of_run(predictions, root), predictions, strict=True):
        values = predicted.probabilities
        affect = np.clip(1.5 * values[:, :2] + (0.0, 0.1), -1, 1)
        expression = (np.log(values[:, 2:10]) + np.array([0, 0, 0, 1, 0, 0, 0, -2])).argmax(axis=1)
        units = values[:, 10:] > np.array([0.2, *([0.5] * 11)])
        expected.append(replace(scored, answers=track.of_lines(np.column_stack([affect, expression, units]))))
    score = evaluate(expected, MTL).all_labelled.score.value
    assert found["all_labelled"]["score"]["value"] == pytest.approx(score, abs=1e-9)
    assert score != evaluate(of_run(predictions, root), MTL).all_labelled.score.value
    assert harness("evaluate", "VA-good", "--threshold", "0.4") == EXIT_USAGE


def test_the_calibration_of_all_tasks_is_that_of_their_expressions(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = printed_json(capsys, "evaluate", "MTL-good")["calibration"]
    root = data_root(place, MTL)
    predictions = RunPredictions(Run(Path("runs") / "MTL-good"), "val", PostProcessing(), root)
    frames: dict[int, list[tuple[float, bool]]] = {}
    for track, scored, predicted in zip(root.split("val"), of_run(predictions, root), predictions, strict=True):
        shares = track.of_lines(predicted.probabilities)[:, 2:10]
        for own, label, face in zip(shares, scored.labels[:, 2], scored.has_face, strict=True):
            if face and label >= 0:
                frames.setdefault(int(np.ceil(own.max() * 15)) - 1, []).append((own.max(), own.argmax() == label))
    gaps = [abs(sum(sure - right for sure, right in of_bin)) for of_bin in frames.values()]
    assert found["error"] == pytest.approx(sum(gaps) / sum(map(len, frames.values())))
    assert found["frames"] == [len(frames.get(number, ())) for number in range(15)]
    assert printed_json(capsys, "evaluate", "VA-good")["calibration"] is None


def test_a_frame_that_the_multi_task_list_names_twice_counts_twice(place: Path) -> None:
    root = data_root(place, MTL)
    run = simulated_run(root, Path("runs") / "MTL-good", 0.5)
    first, *others = root.split("val")
    assert first.asked is not None
    twice = replace(root, tracks=(replace(first, asked=np.append(first.asked, first.asked[:5])), *others))
    once, again = (of_run(RunPredictions(run, "val", PostProcessing(), one), one)[0] for one in (root, twice))
    assert len(once.labels) == first.lines
    np.testing.assert_array_equal(again.labels, np.concatenate([once.labels, once.labels[:5]]))
    np.testing.assert_array_equal(again.answers, np.concatenate([once.answers, once.answers[:5]]))


@each
def test_the_words_name_every_column_and_what_is_expected(challenge: Challenge, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("evaluate", f"{challenge.name}-good", "--tracks") == EXIT_DONE
    printed = capsys.readouterr().out
    for column in parts_of(challenge).columns:
        assert re.search(rf"^{column}\b", printed, re.MULTILINE), column
    assert "95 % interval over" in printed
    assert "next: harness report" in printed


@each
def test_the_better_run_is_told_from_the_poor_one(challenge: Challenge, capsys: pytest.CaptureFixture[str]) -> None:
    names = (f"{challenge.name}-poor", f"{challenge.name}-good")
    # The faces drawn here move faster than the usual window.
    found = printed_json(capsys, "compare", *names, "--smooth", "0")
    assert found["others"][0]["comparison"]["difference"] > 0
    assert harness("compare", *names, "--smooth", "0") == EXIT_DONE
    printed = capsys.readouterr().out
    assert f"{challenge.name}-good" in printed.splitlines()[2]
    assert ("\nscore: " in printed) == (challenge is not AU)


def test_a_run_of_one_challenge_is_not_scored_as_another(capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("evaluate", "VA-good", "--challenge", "AU") == EXIT_USAGE
    assert "is of VA" in capsys.readouterr().err


def test_runs_are_listed_with_what_their_score_is(capsys: pytest.CaptureFixture[str]) -> None:
    for challenge in (VA, AU, MTL):
        assert harness("evaluate", f"{challenge.name}-good") == EXIT_DONE
    capsys.readouterr()
    assert harness("runs") == EXIT_DONE
    printed = capsys.readouterr().out
    for words in ("mean CCC", "mean F1 of the units", "score of all tasks"):
        assert words in printed
    assert harness("runs", "--json") == EXIT_DONE
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["VA-good"]["measure"] == "mean CCC"
    assert 0 < rows["VA-good"]["score"]["value"] < 1


@each
def test_a_track_is_shown_in_letters_and_drawn(challenge: Challenge, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    track = data_root(place, challenge).split("val")[0].name
    for source in (f"{challenge.name}-good", f"sent/{challenge.name}"):
        capsys.readouterr()
        assert harness("inspect", source, track, "--data", "root", "--width", "100") == EXIT_DONE
        printed = capsys.readouterr().out
        for field in challenge.fields:
            assert ("predicted" if field.kind == "class" else field.name) in printed
        assert "label" in printed
        out = Path(f"{challenge.name}.svg")
        assert harness("inspect", source, track, "--data", "root", "--out", str(out)) == EXIT_DONE
        assert out.stat().st_size > 5_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@each
def test_a_page_of_two_runs_stands_in_a_browser(
    challenge: Challenge, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    names = (f"{challenge.name}-good", f"{challenge.name}-poor")
    assert harness("report", *names, "--timelines", "1", "--out", f"{challenge.name}.html") == EXIT_DONE
    page = Path(f"{challenge.name}.html")
    for width, dark in ((1280, False), (390, True)):
        browser.look(width, dark=dark)
        browser.open(page)
        assert browser.complaints == []
        assert [one for one in browser.requests if not one.startswith("data:")] == [page.resolve().as_uri()]
        for beside in (0, 1):  # the first run alone, then both
            picker = "document.getElementById('beside-picker')"
            browser.value(f"{picker}.value = {beside}, {picker}.dispatchEvent(new Event('change'))")
            assert browser.value("document.documentElement.scrollWidth") <= width
            panels = "[...document.querySelectorAll('#columns .panel')].filter(one => one.offsetParent).length"
            assert browser.value(panels) == 1 + beside
    explained = "[...document.querySelectorAll('section')].filter(one => one.querySelector('.legend')).map(one => one.id)"
    assert {"scores", "comparison", "columns", "timelines", "tracks"} <= set(browser.value(explained))
    told = browser.value("document.querySelector('.stepper output').textContent")
    names_of_fields = [field.name for field in challenge.fields if field.kind == "real"]
    words = [
        *names_of_fields,
        *(["active"] if len(challenge.fields) > 2 else []),
        *(["predicted"] if challenge.class_names else []),
    ]
    assert all(word in told for word in words), told
    figures = browser.value("[...document.querySelectorAll('#columns figcaption')].map(one => one.textContent)")
    assert ("density of valence against arousal" in figures) == bool(names_of_fields)
    assert ("F1, precision, recall and prevalence of each unit" in figures) == (len(challenge.fields) > 2)
    everywhere = browser.value("[...document.querySelectorAll('figcaption')].map(one => one.textContent)")
    assert ("reliability diagram" in everywhere) == bool(challenge.class_names)
    rows = browser.value("[...document.querySelectorAll('#columns table.sortable tbody th')].map(one => one.textContent)")
    assert set(parts_of(challenge).columns) <= set(rows)
