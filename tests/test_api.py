"""The harness from Python: the numbers of the verbs, and nothing loaded that is not used."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import harness
from harness import Predictor, Scoring, errors, evaluate, open_data, open_run, predict, read_submission, validate
from harness.runs import scores
from tests.command_line import harness as call

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture
def place(trained: Path, drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the trained run `a`, whose manifest names the drawn root."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_public_name_is_there_and_another_one_is_not() -> None:
    assert all(getattr(harness, name) is not None for name in harness.__all__)
    with pytest.raises(AttributeError, match="no_such_thing"):
        harness.no_such_thing  # noqa: B018


def test_who_validates_or_opens_a_run_loads_no_torch() -> None:
    code = "from harness import open_data, open_run, predict, read_submission, validate; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "scipy", "sklearn", "PIL"} & set(done.stdout.split())


def test_pictures_score_as_the_verb_stores_them(place: Path) -> None:
    run = open_run("a")
    track = max(open_data(run=run).split("val"), key=lambda one: len(one.frames))
    paths = [track.image_path(frame) for frame in track.frames.tolist()]
    stored = scores.read_track(run, "val", track.name)
    predictor = Predictor("a", batch=16)
    assert predictor.columns == run.class_names
    np.testing.assert_array_equal(predictor.scores(paths), stored.score)
    np.testing.assert_array_equal(predictor.scores(path.read_bytes() for path in paths), stored.score)
    exponential = np.exp(stored.score.astype(np.float64))
    probabilities = predictor(paths)
    np.testing.assert_allclose(probabilities, exponential / exponential.sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(predictor.answers(probabilities), stored.score.argmax(axis=1))


def test_pixels_are_taken_and_no_pictures_give_no_rows(place: Path) -> None:
    predictor = Predictor(open_run("a"), batch=16)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 50, 40, 3), dtype=np.uint8)
    small = [np.asarray(Image.fromarray(one).resize((32, 32), Image.Resampling.BILINEAR)) for one in pixels]
    np.testing.assert_array_equal(predictor.scores(list(pixels)), predictor.scores(small))
    assert predictor([]).shape == (0, 8)


@pytest.mark.parametrize("array", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_an_array_that_is_no_image_is_refused_with_its_shape(place: Path, array: np.ndarray) -> None:
    with pytest.raises(errors.DataError, match="height, width, 3"):
        Predictor("a").scores([array])


def test_a_picture_that_cannot_be_read_is_named(place: Path) -> None:
    (place / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    with pytest.raises(errors.DataError, match=r"broken\.jpg"):
        Predictor("a").scores([place / "broken.jpg"])


def test_a_split_is_scored_as_by_the_verb(place: Path, drawn_root: Path) -> None:
    run = open_run("a")
    stored = scores.read_index(run, "val").tracks
    shutil.rmtree(run.path / "scores" / "val")
    lines: list[str] = []
    assert predict(run, open_data(drawn_root, run), "val", Scoring(batch=16), lines.append)
    assert scores.read_index(run, "val").tracks == stored
    assert any("of 4 tracks made" in line for line in lines)


def test_a_run_and_its_text_score_as_the_verb_stores_it(place: Path, drawn_root: Path) -> None:
    run, root = open_run("a"), open_data(drawn_root)
    assert call("evaluate", "a", "--data", drawn_root) == 0
    stored = json.loads((run.path / "evaluation" / "val.json").read_text())
    result = evaluate(run, root, "val")
    assert result.all_labelled.score.value == stored["all_labelled"]["score"]
    assert evaluate(run, root, "val", edition=2).score != result.score
    assert call("predict", "a", "--from-scores", "--split", "val", "--data", drawn_root) == 0
    assert evaluate("submissions/a-val", root).all_labelled.score.value == result.all_labelled.score.value


def test_without_a_data_root_it_is_asked_for() -> None:
    with pytest.raises(errors.UsageError, match="no data root"):
        open_data()


def test_a_submission_is_validated_and_read_as_the_verbs_do(place: Path, drawn_root: Path) -> None:
    assert call("predict", "a", "--data", drawn_root, "--batch", "16") == 0
    (verdict,) = validate("submissions/")
    assert not verdict.findings.has_errors
    answer = read_submission("submissions/a")
    assert {name: len(values) for name, values in answer.values.items()} == {
        track.name: track.rows for track in open_data(drawn_root).split("test")
    }
    text = place / "submissions" / "a" / "predictions.txt"
    text.write_text(text.read_text().replace(",", ";", 1))
    (verdict,) = validate(text)
    assert verdict.findings.has_errors
    with pytest.raises(errors.DataError):
        read_submission(text)


def test_the_page_runs_as_it_stands(place: Path, drawn_root: Path) -> None:
    (place / "runs" / "a").rename(place / "runs" / "res50-a")
    track = max(open_data(drawn_root).split("val"), key=lambda one: len(one.frames))
    shutil.copytree(track.image_path(int(track.frames[0])).parent, place / "crops" / "my_clip")
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, object] = {}
    exec(blocks[0], names)
    assert call("predict", "res50-a", "--from-scores", "--data", drawn_root) == 0
    for block in blocks[1:]:
        exec(block, names)
    assert len(names["labels"]) == len(track.frames)  # type: ignore[arg-type]
    assert set(names["rows"]) == {one.name for one in open_data(drawn_root).split("test")}  # type: ignore[call-overload]
