"""harness evaluate: runs and official text against labels, what is printed and stored, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from harness.challenge import EXPR, EXPR_7
from harness.cli import main
from harness.data.tracks import DataRoot
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_USAGE
from harness.postprocess.chain import PostProcessing
from harness.rows.predictions import RunPredictions
from harness.runs import scores
from harness.runs.store import Run
from harness.submission.build import build
from tests.command_line import harness
from tests.data_roots import write
from tests.simulated_runs import labelled_root, noisy_run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataRoot:
    monkeypatch.chdir(tmp_path)
    return labelled_root(tmp_path / "root")


@pytest.fixture
def model(root: DataRoot, tmp_path: Path) -> Run:
    return noisy_run(root, tmp_path / "runs" / "noisy", 1.5)


def printed_json(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict:
    capsys.readouterr()
    assert harness("evaluate", *arguments, "--json") == EXIT_DONE
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return value


def scikit_learn_score(root: DataRoot, model: Run, settings: PostProcessing, with_face: bool = False) -> float:
    labels, classes = [], []
    predictions = {one.track: one for one in RunPredictions(model, "val", settings, root)}
    for track in root.split("val"):
        assert track.labels is not None
        kept = track.labels >= 0
        if with_face:
            kept &= np.isin(np.arange(1, track.rows + 1), track.frames)
        labels.append(track.labels[kept])
        classes.append(predictions[track.name].classes[kept])
    pair = np.concatenate(labels), np.concatenate(classes)
    return float(metrics.f1_score(*pair, labels=range(8), average="macro", zero_division=0))


def test_a_run_scores_what_scikit_learn_says(root: DataRoot, model: Run, capsys: pytest.CaptureFixture[str]) -> None:
    value = printed_json(capsys, "noisy")
    settings = PostProcessing()
    assert value["all_labelled"]["macro_f1"]["value"] == pytest.approx(scikit_learn_score(root, model, settings))
    assert value["with_face"]["macro_f1"]["value"] == pytest.approx(scikit_learn_score(root, model, settings, with_face=True))
    plain = scikit_learn_score(root, model, PostProcessing(seconds=0))
    assert value["macro_f1_without_smoothing"]["value"] == pytest.approx(plain)


def test_an_image_the_run_could_not_read_is_no_frame_with_a_face(
    root: DataRoot, model: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = printed_json(capsys, "noisy")["with_face"]["frames"]
    track = next(track for track in root.split("val") if track.labels is not None)
    assert track.labels is not None
    labelled = [frame for frame in track.frames.tolist() if track.labels[frame - 1] >= 0]
    unreadable = tuple(labelled[:3])
    stored = scores.read_track(model, "val", track.name)
    kept = ~np.isin(stored.frame, unreadable)
    digest = scores.write_track(model, "val", track.name, scores.TrackScores(stored.frame[kept], stored.score[kept]))
    index = scores.read_index(model, "val")
    record = replace(index.tracks[track.name], unreadable=unreadable, scores=digest)
    scores.write_index(model, "val", replace(index, tracks={**index.tracks, track.name: record}))
    after = printed_json(capsys, "noisy")
    assert after["with_face"]["frames"] == before - 3
    entry = next(entry for entry in after["tracks"] if entry["track"] == track.name)
    assert entry["with_face"] == len(labelled) - 3


def test_the_printed_page_holds_the_parts_a_reader_needs(model: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("evaluate", "noisy", "--tracks") == EXIT_DONE
    printed = capsys.readouterr().out
    for part in ("without smoothing", "95 % interval", "Disgust", "labelled \\ predicted", "shifted", "calibration error"):
        assert part in printed
    assert "video4" in printed
    assert printed.splitlines()[-1].startswith("next: harness report noisy, or harness tune noisy")


def test_the_evaluation_is_stored_with_the_run_and_the_same_again(model: Run, tmp_path: Path) -> None:
    stored = tmp_path / "runs" / "noisy" / "evaluation" / "val.json"
    assert harness("evaluate", "noisy") == EXIT_DONE
    first = stored.read_bytes()
    assert harness("evaluate", "noisy") == EXIT_DONE
    assert stored.read_bytes() == first
    assert json.loads(first)["postprocessing"]["kernel"] == "mean"


def test_a_submission_and_each_of_its_files_score_as_the_run(
    root: DataRoot, model: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions = [(one.track, one.classes) for one in RunPredictions(model, "val", PostProcessing(), root)]
    build(tmp_path / "sent", predictions, EXPR, 5, None, {})
    of_run = printed_json(capsys, "noisy")
    for path in ("sent", "sent/predictions.txt"):
        of_text = printed_json(capsys, path, "--data", root.path)
        assert of_text["all_labelled"] == of_run["all_labelled"]
        assert of_text["with_face"] == of_run["with_face"]
    of_track = printed_json(capsys, "sent/tracks/video2.txt", "--data", root.path)
    assert [track["track"] for track in of_track["tracks"]] == ["video2"]
    assert of_track["tracks"][0] == next(track for track in of_run["tracks"] if track["track"] == "video2")


def test_text_with_a_wrong_row_is_refused_with_its_line(
    root: DataRoot, model: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions = [(one.track, one.classes) for one in RunPredictions(model, "val", PostProcessing(), root)]
    build(tmp_path / "sent", predictions, EXPR, 5, None, {})
    lines = (tmp_path / "sent" / "predictions.txt").read_text().splitlines()
    lines[4] = lines[4][:-1] + "9"
    (tmp_path / "predictions.txt").write_text("\n".join(lines) + "\n")
    assert harness("evaluate", "predictions.txt", "--data", root.path) == EXIT_DATA
    assert "predictions.txt:5" in capsys.readouterr().err


def test_text_of_an_edition_with_fewer_classes_is_refused(
    root: DataRoot, model: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions = [(one.track, np.minimum(one.classes, 6)) for one in RunPredictions(model, "val", PostProcessing(), root)]
    build(tmp_path / "sent", predictions, EXPR_7, 2, None, {})
    assert harness("evaluate", "sent", "--data", root.path) == EXIT_DATA
    captured = capsys.readouterr().err
    assert "classes that the text cannot name" in captured
    assert "label 7" in captured


def test_a_track_without_any_label_cannot_be_scored_alone(
    root: DataRoot, model: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    track = root.split("val")[0]
    assert track.annotation is not None
    track.annotation.write_text(EXPR.header + "\n" + "-1\n" * track.rows)
    write(tmp_path / f"{track.name}.txt", EXPR.header + "\n" + "0\n" * track.rows)
    assert harness("evaluate", f"{track.name}.txt", "--data", root.path) == EXIT_DATA
    assert "nothing to score" in capsys.readouterr().err


def test_unknown_frame_rates_are_said_and_nothing_is_smoothed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    root = labelled_root(tmp_path / "root", rate=None)
    model = noisy_run(root, tmp_path / "runs" / "noisy", 1.5)
    assert harness("evaluate", "noisy", "--json") == EXIT_DONE
    captured = capsys.readouterr()
    assert "--fps 30" in captured.err
    value = json.loads(captured.out)
    assert value["macro_f1_without_smoothing"] is None
    plain = scikit_learn_score(root, model, PostProcessing(seconds=0))
    assert value["all_labelled"]["macro_f1"]["value"] == pytest.approx(plain)
    with_rate = printed_json(capsys, "noisy", "--fps", "30")
    assert with_rate["macro_f1_without_smoothing"]["value"] == pytest.approx(plain)


def test_the_first_editions_are_scored_by_f1_and_accuracy(model: Run, capsys: pytest.CaptureFixture[str]) -> None:
    frames = printed_json(capsys, "noisy", "--edition", "2")["all_labelled"]
    assert frames["score"] == pytest.approx(0.67 * frames["macro_f1"]["value"] + 0.33 * frames["accuracy"]["value"])


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("absent",), EXIT_DATA, "neither a run nor a file"),
        (("noisy", "--split", "vall"), EXIT_USAGE, "did you mean 'val'"),
        (("noisy", "--split", "test"), EXIT_DATA, "has no labels"),
        (("noisy", "--kernel", "meen"), EXIT_USAGE, "did you mean 'mean'"),
        (("noisy", "--edition", "9"), EXIT_USAGE, "9th edition held no EXPR"),
        (("noisy", "--split", "train"), EXIT_DATA, "no complete scores of split 'train'"),
    ],
)
def test_what_cannot_be_scored_ends_with_one_message(
    model: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, part: str
) -> None:
    assert harness("evaluate", *arguments) == code
    captured = capsys.readouterr().err
    assert part in captured
    assert "Traceback" not in captured


@pytest.mark.slow
@pytest.mark.realdata
def test_the_mean_of_five_outside_models_scores_as_elsewhere_and_smoothing_unordered_pictures_would_harm(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_DATA", str(real_data / "faces"))
    for arguments in (["import", str(real_data / "faces" / "outside_models.npz"), "--classes", "EXPR"], ["ensemble"]):
        names = sorted(path.name for path in Path("runs").iterdir()) if arguments == ["ensemble"] else []
        with pytest.raises(SystemExit) as ended:
            main([*arguments, *names, *(["--run", "five"] if names else [])])
        assert ended.value.code == EXIT_DONE
    assert len(names) == 5
    value = printed_json(capsys, "five")
    assert value["all_labelled"]["macro_f1"]["value"] == pytest.approx(0.316, abs=0.001)
    assert value["all_labelled"]["supported_macro_f1"]["value"] == pytest.approx(0.475, abs=0.001)
    assert value["macro_f1_without_smoothing"] is None
    assert harness("evaluate", "five") == EXIT_DONE
    said = [line for line in capsys.readouterr().err.splitlines() if "no smoothing" in line]
    assert len(said) == 1
    assert "doctor DATA --videos" in said[0]
    assert "--fps 30" in said[0]
    averaged = printed_json(capsys, "five", "--fps", "30", "--smooth", "100000")
    assert averaged["all_labelled"]["supported_macro_f1"]["value"] == pytest.approx(0.371, abs=0.001)
    assert averaged["macro_f1_without_smoothing"]["value"] == pytest.approx(0.316, abs=0.001)


def folder_of_labels(root: DataRoot, split: str, place: Path) -> Path:
    for track in root.members(split):
        write(place / f"{track.name}.txt", ",".join(EXPR.class_names) + "\n" + "0\n" * track.rows)
    return place


def test_other_labels_than_those_of_the_split_leave_the_stored_evaluation_alone(
    root: DataRoot, model: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert harness("evaluate", "noisy") == EXIT_DONE
    stored = model.path / "evaluation" / "val.json"
    before = stored.read_bytes()
    capsys.readouterr()
    assert harness("evaluate", "noisy", "--labels", folder_of_labels(root, "val", tmp_path / "other")) == EXIT_DONE
    assert stored.read_bytes() == before
    printed = capsys.readouterr().out
    assert "not stored: " in printed
    assert "\nstored: " not in printed


def test_labels_of_a_split_that_has_none_make_a_stored_evaluation(
    root: DataRoot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy_run(root, tmp_path / "runs" / "tested", 1.5, splits=("test",))
    assert (
        harness("evaluate", "tested", "--split", "test", "--labels", folder_of_labels(root, "test", tmp_path / "labels"))
        == EXIT_DONE
    )
    assert (tmp_path / "runs/tested/evaluation/test.json").is_file()
    assert "\nstored: " in capsys.readouterr().out


def test_the_next_command_has_the_split_and_the_data_and_tunes_only_where_it_may(
    root: DataRoot, model: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert harness("evaluate", "noisy", "--data", root.path) == EXIT_DONE
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"next: harness report noisy --data {root.path}, or harness tune noisy --data {root.path}"
    noisy_run(root, model.path.with_name("learner"), 1.0, splits=("train",))
    assert harness("evaluate", "learner", "--split", "train") == EXIT_DONE
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "next: harness report learner --split train, or harness tune learner --split train"
    manifest = {**Run(model.path.with_name("learner")).manifest, "kind": "training", "data": {"splits": ["train"]}}
    model.path.with_name("learner").joinpath("run.json").write_text(json.dumps(manifest))
    assert harness("evaluate", "learner", "--split", "train") == EXIT_DONE
    assert capsys.readouterr().out.splitlines()[-1] == "next: harness report learner --split train"


def test_smoothing_that_lowers_the_score_is_said_with_what_to_do(
    root: DataRoot, model: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert harness("evaluate", "noisy", "--data", root.path, "--smooth", "60") == EXIT_DONE
    (warning,) = [line for line in capsys.readouterr().out.splitlines() if "smoothing lowers the score" in line]
    assert warning.endswith("`harness tune noisy --split val` chooses it, --smooth 0 turns it off")
    assert harness("evaluate", "noisy", "--data", root.path, "--smooth", "0") == EXIT_DONE
    assert "smoothing lowers" not in capsys.readouterr().out
