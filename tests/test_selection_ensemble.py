"""Ensembles and imported runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from harness import files
from harness.challenge import EXPR
from harness.cli import harness
from harness.data.scan import scan
from harness.errors import DataError, MismatchError, UsageError
from harness.postprocess.chain import PostProcessing
from harness.rows.predictions import RunPredictions
from harness.runs import scores, store
from harness.runs.foreign_columns import CLASS_ORDERS, ForeignColumns, parse_classes
from harness.runs.imports import import_runs, read_foreign
from harness.runs.lineage import is_unchanged, lineage
from harness.runs.scores import TrackScores
from harness.runs.store import TUNED, Run
from harness.selection.ensemble import Member, average_into, comparable, default_name, ensemble, parse_weights, plan_ensemble

CLASSES = EXPR.class_names
COLUMNS = ForeignColumns(classes=tuple(CLASSES))


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def make(
    path: Path,
    seed: int,
    frames: dict[str, list[int]] | None = None,
    kind: str = "logits",
    classes: tuple[str, ...] = CLASSES,
    splits: tuple[str, ...] = ("val", "test"),
) -> Run:
    run, _ = store.open_or_create(path, {"kind": "training", "class_names": list(classes), "prior": [1 / 8] * 8, "seed": seed})
    random = np.random.default_rng(seed)
    numbers = frames or {"t1": [1, 2, 5], "t2": []}
    for split in splits:
        stored = {}
        for name, wanted in numbers.items():
            values = random.normal(size=(len(wanted), len(classes)))
            if kind == "probabilities":
                values = softmax(values) if len(wanted) else values
            stored[name] = TrackScores(np.array(wanted, np.int32), values.astype(np.float32))
        scores.write_split(run, split, stored, dict.fromkeys(numbers, (6, "annotation")), kind, {})
    return run


def test_an_ensemble_is_the_mean_of_probabilities_not_of_logits(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a", 1), make(tmp_path / "b", 2, kind="probabilities")
    run, splits = ensemble([Member(first, 0.25), Member(second, 0.75)], tmp_path / "e", union=False, fresh=False)
    assert splits == ["val", "test"]
    for split in splits:
        found = scores.read_track(run, split, "t1").score
        left = softmax(scores.read_track(first, split, "t1").score)
        right = scores.read_track(second, split, "t1").score
        np.testing.assert_allclose(found, 0.25 * left + 0.75 * right, atol=1e-6)
        assert scores.read_index(run, split).kind == "probabilities"
        assert len(scores.read_track(run, split, "t2").frame) == 0


def test_scores_of_the_folds_are_averaged_into_a_run_that_is_there_and_refused_for_other_frames(tmp_path: Path) -> None:
    folds = [make(tmp_path / name, seed, splits=("test",)) for seed, name in enumerate("ab")]
    run = make(tmp_path / "whole", 9, splits=("val",))
    average_into(run, [Member(one, 0.5) for one in folds], "test")
    said = [softmax(scores.read_track(one, "test", "t1").score) for one in folds]
    np.testing.assert_allclose(scores.read_track(run, "test", "t1").score, (said[0] + said[1]) / 2, atol=1e-6)
    assert Run(run.path).splits() == ("val", "test")
    other = make(tmp_path / "c", 3, {"t1": [1, 2, 6], "t2": []}, splits=("test",))
    with pytest.raises(MismatchError, match=r"1 only in c \(6\)"):
        average_into(run, [Member(folds[0], 0.5), Member(other, 0.5)], "test")


def test_scores_of_folds_whose_classes_stand_in_another_order_are_not_averaged(tmp_path: Path) -> None:
    folds = [make(tmp_path / "a", 1), make(tmp_path / "b", 2, classes=CLASSES[::-1])]
    run = make(tmp_path / "whole", 9, splits=("val",))
    with pytest.raises(MismatchError, match="different classes"):
        average_into(run, [Member(one, 0.5) for one in folds], "test")
    assert Run(run.path).splits() == ("val",)


def test_scores_of_folds_that_saw_other_images_of_a_track_are_not_averaged(tmp_path: Path) -> None:
    folds = [make(tmp_path / name, seed, splits=("test",)) for seed, name in enumerate("ab")]
    for fold in folds:
        index = scores.read_index(fold, "test")
        tracks = {**index.tracks, "t1": replace(index.tracks["t1"], images=f"digest {fold.name}")}
        scores.write_index(fold, "test", replace(index, settings={"crops": "cropped"}, tracks=tracks))
    run = make(tmp_path / "whole", 9, splits=("val",))
    with pytest.raises(MismatchError, match="t1: other images in a than in b"):
        average_into(run, [Member(one, 0.5) for one in folds], "test")
    assert Run(run.path).splits() == ("val",)


def test_mirrored_images_that_were_tuned_for_a_run_count_for_it_unless_they_are_said_for_all(
    tmp_path: Path,
) -> None:
    runs = [make(tmp_path / name, seed) for seed, name in enumerate("ab")]
    tuned = PostProcessing(temperature=2.0, flip=True)
    files.write_json(runs[0].path / TUNED, {"postprocessing": tuned.as_dict(), "split": "val"})

    def planned(flip: bool | None, untuned: bool = False) -> list[tuple[object, bool]]:
        plan = plan_ensemble(runs, [0.5, 0.5], untuned=untuned, flip=flip)
        return [(member.temperature, member.flip) for member in plan.members]

    assert planned(None) == [(2.0, True), (1.0, False)]
    assert planned(True) == planned(False) == [(2.0, False), (1.0, False)]
    assert planned(None, untuned=True) == [(1.0, False), (1.0, False)]


def test_a_temperature_divides_the_logits_of_its_member(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a", 1), make(tmp_path / "b", 2)
    run, _ = ensemble([Member(first, 0.5, 2.0), Member(second, 0.5)], tmp_path / "e", union=False, fresh=False)
    left = softmax(scores.read_track(first, "val", "t1").score / 2)
    right = softmax(scores.read_track(second, "val", "t1").score)
    np.testing.assert_allclose(scores.read_track(run, "val", "t1").score, (left + right) / 2, atol=1e-6)


def test_only_splits_that_all_hold_are_averaged(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a", 1), make(tmp_path / "b", 2, splits=("test",))
    _, splits = ensemble([Member(first), Member(second)], tmp_path / "e", union=False, fresh=False)
    assert splits == ["test"]
    with pytest.raises(DataError, match="no split was predicted by all"):
        ensemble([Member(make(tmp_path / "c", 1, splits=("val",))), Member(second)], tmp_path / "f", union=False, fresh=False)


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ({"t1": [1, 2, 5]}, "t2: 6 rows in a, absent in b"),
        ({"t1": [1, 2, 5], "t2": [], "t3": [1]}, "t3: absent in a, 6 rows in b"),
        ({"t1": [1, 2, 6], "t2": []}, r"t1: 1 frame only in a \(5\), 1 only in b \(6\)"),
        ({"t1": [1, 2], "t2": []}, r"t1: 1 frame only in a \(5\)"),
    ],
)
def test_runs_of_other_tracks_or_frames_are_refused_with_the_differences(
    tmp_path: Path, frames: dict[str, list[int]], says: str
) -> None:
    members = [Member(make(tmp_path / "a", 1)), Member(make(tmp_path / "b", 2, frames))]
    with pytest.raises(MismatchError, match=says):
        ensemble(members, tmp_path / "e", union=False, fresh=False)
    assert not (tmp_path / "e").exists()


def test_runs_of_another_class_order_are_refused(tmp_path: Path) -> None:
    swapped = (CLASSES[0], CLASSES[2], CLASSES[1], *CLASSES[3:])
    members = [Member(make(tmp_path / "a", 1)), Member(make(tmp_path / "b", 2, classes=swapped))]
    with pytest.raises(MismatchError, match="another order"):
        ensemble(members, tmp_path / "e", union=False, fresh=False)


def test_union_interpolates_a_member_where_only_the_other_has_a_score(tmp_path: Path) -> None:
    first = make(tmp_path / "a", 1, {"t1": [1, 5]}, kind="probabilities")
    second = make(tmp_path / "b", 2, {"t1": [1, 2, 5]}, kind="probabilities")
    run, _ = ensemble([Member(first), Member(second)], tmp_path / "e", union=True, fresh=False)
    found = scores.read_track(run, "val", "t1")
    assert found.frame.tolist() == [1, 2, 5]
    left, right = scores.read_track(first, "val", "t1").score, scores.read_track(second, "val", "t1").score
    interpolated = 0.75 * left[0] + 0.25 * left[1]
    np.testing.assert_allclose(found.score[1], (interpolated + right[1]) / 2, atol=1e-6)


def test_an_ensemble_of_other_members_is_not_written_over(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a", 1), make(tmp_path / "b", 2)
    ensemble([Member(first, 0.5), Member(second, 0.5)], tmp_path / "e", union=False, fresh=False)
    with pytest.raises(MismatchError, match="made with other settings"):
        ensemble([Member(first, 0.4), Member(second, 0.6)], tmp_path / "e", union=False, fresh=False)
    ensemble([Member(first, 0.4), Member(second, 0.6)], tmp_path / "e", union=False, fresh=True)


def test_an_ensemble_that_differs_says_what_of_which_member(tmp_path: Path) -> None:
    members = [make(tmp_path / name, seed) for seed, name in enumerate("abc")]
    path = tmp_path / "e"
    ensemble([Member(members[0], 0.5), Member(members[1], 0.5)], path, union=False, fresh=False)
    with pytest.raises(MismatchError) as refusal:
        ensemble([Member(members[0], 0.7), Member(members[1], 0.3, 2.0)], path, union=False, fresh=False)
    lines = [line.strip() for line in str(refusal.value).splitlines()]
    assert "members.a.weight: 0.5 there, 0.7 now" in lines
    assert "members.b.weight: 0.5 there, 0.3 now" in lines
    assert "members.b.temperature: 1.0 there, 2.0 now" in lines
    with pytest.raises(MismatchError, match=r"members: \['a', 'b'\] there, \['a', 'c'\] now"):
        ensemble([Member(members[0], 0.5), Member(members[2], 0.5)], path, union=False, fresh=False)
    with pytest.raises(MismatchError, match=r"members: \['a', 'b'\] there, \['b', 'a'\] now"):
        ensemble([Member(members[1], 0.5), Member(members[0], 0.5)], path, union=False, fresh=False)


def test_an_ensemble_grows_by_the_splits_its_members_predict_later(tmp_path: Path) -> None:
    members = [Member(make(tmp_path / name, seed, splits=("test",)), 0.5) for seed, name in enumerate("ab")]
    run, splits = ensemble(members, tmp_path / "e", union=False, fresh=False)
    assert splits == ["test"]
    before = scores.read_track(run, "test", "t1").score
    for seed, name in enumerate("ab"):
        make(tmp_path / name, seed, splits=("val", "test"))  # its scores of test differ from before: val is drawn first
    with pytest.raises(MismatchError, match=r"members\.a\.scores\.test: '\w+' there, '\w+' now"):
        ensemble(members, tmp_path / "e", union=False, fresh=False)
    for seed, name in enumerate("ab"):
        make(tmp_path / name, seed, splits=("test", "val"))
    answered = lineage(run, "test")
    run, splits = ensemble(members, tmp_path / "e", union=False, fresh=False)
    assert splits == ["val", "test"]
    # What was answered of test is still the ensemble's own; of one with other weights it is not.
    assert lineage(run, "test")["manifest"] != answered["manifest"]
    assert is_unchanged(run, "test", answered)
    others = [Member(members[0].run, 0.4), Member(members[1].run, 0.6)]
    changed, _ = ensemble(others, tmp_path / "e", union=False, fresh=True)
    assert not is_unchanged(changed, "test", answered)
    run, _ = ensemble(members, tmp_path / "e", union=False, fresh=True)
    assert run.splits() == ("val", "test")
    np.testing.assert_array_equal(scores.read_track(run, "test", "t1").score, before)
    whole, _ = ensemble(members, tmp_path / "whole", union=False, fresh=False)
    for name in ("run.json", "scores/val/t1.npz", "scores/val/scores.json", "scores/test/scores.json"):
        assert (run.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_a_member_that_saw_no_face_in_a_track_has_its_class_shares_there(tmp_path: Path) -> None:
    first = make(tmp_path / "a", 1, {"t1": [1, 5], "t2": []}, kind="probabilities")
    second = make(tmp_path / "b", 2, {"t1": [1, 5], "t2": [2, 3]}, kind="probabilities")
    shares = np.arange(1, 9) / 36
    store.rewrite(first, {**first.manifest, "prior": shares.tolist()})
    run, _ = ensemble([Member(first, 0.5), Member(second, 0.5)], tmp_path / "e", union=True, fresh=False)
    found = scores.read_track(run, "val", "t2")
    assert found.frame.tolist() == [2, 3]
    np.testing.assert_allclose(found.score, (shares + scores.read_track(second, "val", "t2").score) / 2, atol=1e-6)


def test_an_ensemble_knows_which_images_none_of_its_members_could_read(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a", 1), make(tmp_path / "b", 2)
    for run in (first, second):
        index = scores.read_index(run, "val")
        tracks = {**index.tracks, "t1": replace(index.tracks["t1"], unreadable=(3, 4))}
        scores.write_index(run, "val", replace(index, tracks=tracks))
    run, _ = ensemble([Member(first, 0.5), Member(second, 0.5)], tmp_path / "e", union=False, fresh=False)
    assert scores.read_index(run, "val").tracks["t1"].unreadable == (3, 4)


def test_a_frame_that_one_member_could_read_is_not_unreadable(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a", 1), make(tmp_path / "b", 2)
    index = scores.read_index(first, "val")
    read = int(scores.read_track(second, "val", "t1").frame[0])
    tracks = {**index.tracks, "t1": replace(index.tracks["t1"], unreadable=(read,))}
    scores.write_index(first, "val", replace(index, tracks=tracks))
    run, _ = ensemble([Member(first, 0.5), Member(second, 0.5)], tmp_path / "e", union=True, fresh=False)
    assert scores.read_index(run, "val").tracks["t1"].unreadable == ()


def test_an_ensemble_never_takes_the_place_of_a_run_it_is_made_of(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a", 1), make(tmp_path / "b", 2)
    inner, _ = ensemble([Member(first), Member(second)], tmp_path / "inner", union=False, fresh=False)
    outer, _ = ensemble([Member(inner), Member(second, 2.0)], tmp_path / "outer", union=False, fresh=False)
    for members, place in (([first, second], "a"), ([outer, first], "inner")):
        before = (tmp_path / place / "run.json").read_bytes()
        with pytest.raises(UsageError, match="run it is made of"):
            ensemble([Member(run) for run in members], tmp_path / place, union=False, fresh=True)
        assert (tmp_path / place / "run.json").read_bytes() == before
        assert Run(tmp_path / place).splits() == ("val", "test")


def test_a_run_that_is_no_ensemble_is_never_thrown_away_for_one(tmp_path: Path) -> None:
    first, second, third = (make(tmp_path / name, seed) for seed, name in enumerate("abc"))
    with pytest.raises(UsageError, match="no ensemble"):
        ensemble([Member(first), Member(second)], third.path, union=False, fresh=True)
    assert third.manifest["kind"] == "training"
    assert third.splits() == ("val", "test")


def test_the_name_of_an_ensemble_is_its_runs_joined() -> None:
    assert default_name([Run(Path("a")), Run(Path("b"))]) == "a+b"
    assert len(default_name([Run(Path("x" * 60 + str(k))) for k in range(9)])) <= 120


@pytest.mark.parametrize("text", ["1", "1,2,3", "a,b", "-1,2", "0,0", "nan,1", "1e308,1e308", ""])
def test_weights_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_weights(text, 2)


def test_weights_are_normalised() -> None:
    assert parse_weights("3,1", 2) == [0.75, 0.25]
    assert parse_weights("1,0", 2) == [1.0, 0.0]
    assert parse_weights(None, 4) == [0.25] * 4


def outside_file(path: Path, root: Path, **changes: Any) -> tuple[Path, NDArray[np.float64]]:
    tracks = [track for track in scan(root).tracks if len(track.frames)]
    names = np.array([track.name for track in tracks for _ in track.frames])
    frames = np.concatenate([track.frames for track in tracks])
    values = softmax(np.random.default_rng(0).normal(size=(len(frames), 8)))
    arrays = {"track": names, "frame": frames, "model": values.astype(np.float16), **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path, values


def test_an_outside_file_becomes_a_run_of_each_array(tmp_path: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path, values = outside_file(tmp_path / "o.npz", drawn_root)
    outside = read_foreign(path, COLUMNS)
    runs = import_runs(outside, scan(drawn_root), "their-", fresh=False)
    assert [run.name for run, _ in runs] == ["their-model"]
    run = runs[0][0]
    assert run.splits() == ("train", "val", "test")
    position = 0
    for track in scan(drawn_root).tracks:
        found = scores.read_track(run, track.split, track.name)
        assert found.frame.tolist() == track.frames.tolist()
        np.testing.assert_allclose(found.score, values[position : position + len(track.frames)], atol=2e-3)
        position += len(track.frames)


def test_of_a_file_with_an_array_that_cannot_be_a_run_nothing_is_imported(
    tmp_path: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, _ = outside_file(tmp_path / "o.npz", drawn_root)
    foreign = read_foreign(path, COLUMNS)
    foreign = replace(foreign, arrays={**foreign.arrays, "a name/of a folder": foreign.arrays["model"]})
    with pytest.raises(UsageError):
        import_runs(foreign, scan(drawn_root), "", fresh=False)
    assert not list(tmp_path.glob("runs/*"))


def test_foreign_columns_are_put_into_our_order(tmp_path: Path, drawn_root: Path) -> None:
    path, values = outside_file(tmp_path / "o.npz", drawn_root)
    order = CLASS_ORDERS["AffectNet"]
    found = read_foreign(path, ForeignColumns(classes=parse_classes("affectnet"))).arrays["model"]
    for column, name in enumerate(order):
        np.testing.assert_allclose(found[:, CLASSES.index(name)], values[:, column], atol=2e-3)


def test_a_class_the_file_does_not_have_gets_probability_zero(tmp_path: Path, drawn_root: Path) -> None:
    path, _ = outside_file(tmp_path / "o.npz", drawn_root)
    with np.load(path) as arrays:
        content = dict(arrays)
    content["model"] = content["model"][:, :7] / content["model"][:, :7].sum(axis=1, keepdims=True)
    np.savez(path, **content)
    found = read_foreign(path, ForeignColumns(classes=parse_classes("RAF-DB"))).arrays["model"]
    assert found[:, CLASSES.index("Other")].max() == 0
    np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("text", ["Neutral,Happy", "Neutral,Neutral", "", "Contempt"])
def test_unknown_or_repeated_classes_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_classes(text)


def test_what_is_no_probability_is_named_by_array_and_row(tmp_path: Path, drawn_root: Path) -> None:
    path, values = outside_file(tmp_path / "o.npz", drawn_root)
    for wrong in (np.nan, -0.5, 3.0):
        broken = values.copy()
        broken[4, 2] = wrong
        outside_file(path, drawn_root, model=broken)
        with pytest.raises(DataError, match="row 5 of the array 'model' holds no probabilities"):
            read_foreign(path, COLUMNS)


@pytest.mark.parametrize("fault", ["text", "pickle", "no track", "shape", "absent", "nothing"])
def test_a_file_of_another_kind_is_named(tmp_path: Path, drawn_root: Path, fault: str) -> None:
    path, values = outside_file(tmp_path / "o.npz", drawn_root)
    if fault == "text":
        path.write_text("hello")
    elif fault == "pickle":
        outside_file(path, drawn_root, model=np.array([{}] * len(values), dtype=object))
    elif fault == "no track":
        outside_file(path, drawn_root, track=None)
    elif fault == "shape":
        outside_file(path, drawn_root, model=values[:, :5])
    elif fault == "nothing":
        outside_file(path, drawn_root, model=None)
    else:
        path = tmp_path / "other.npz"
    with pytest.raises(DataError) as refusal:
        read_foreign(path, COLUMNS)
    assert str(path) in str(refusal.value)


def test_tracks_and_frames_of_another_root_are_refused(tmp_path: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path, _ = outside_file(tmp_path / "o.npz", drawn_root)
    with np.load(path) as arrays:
        content = dict(arrays)
    for key, position, value, says in (
        ("track", 3, "stranger", "stranger: not a track"),
        ("frame", 0, 9999, "frame 9999 is outside"),
        ("frame", 0, 0, "frame 0 is outside"),
        ("frame", 1, int(content["frame"][0]), "occurs twice"),
    ):
        changed = content[key].astype("U40") if key == "track" else content[key].copy()
        changed[position] = value
        outside = read_foreign(outside_file(path, drawn_root, **{key: changed})[0], COLUMNS)
        with pytest.raises(MismatchError, match=says):
            import_runs(outside, scan(drawn_root), "", fresh=False)
    assert not (tmp_path / "runs").exists()


@pytest.mark.realdata
def test_the_plain_mean_of_the_five_outside_models_scores_as_elsewhere(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.metrics import f1_score

    monkeypatch.chdir(tmp_path)
    root = scan(real_data / "faces", use_cache=False)
    outside = read_foreign(real_data / "faces" / "outside_models.npz", COLUMNS)
    runs = [run for run, _ in import_runs(outside, root, "", fresh=False)]
    assert len(runs) == 5
    run, splits = ensemble([Member(run) for run in runs], tmp_path / "runs" / "five", union=False, fresh=False)
    assert splits == ["train", "val", "test"]
    truth, predicted = [], []
    for track in root.split("val"):
        found = scores.read_track(run, "val", track.name)
        assert track.labels is not None
        truth += track.labels[found.frame - 1].tolist()
        predicted += found.score.argmax(axis=1).tolist()
    f1 = f1_score(truth, predicted, labels=range(8), average=None, zero_division=0)
    assert f1.mean() == pytest.approx(0.316, abs=0.001)
    assert f1[[0, 1, 4, 5, 6]].mean() == pytest.approx(0.475, abs=0.001)


def mirrored(run: Run, split: str, checkpoint: str) -> None:
    """Gives a run scores of the mirrored images of a split, which are the scores themselves, of this checkpoint."""
    index = scores.read_index(run, split)
    for name in index.tracks:
        scores.write_track(run, f"{split}.flip", name, scores.read_track(run, split, name))
    scores.write_index(run, f"{split}.flip", replace(index, checkpoint=checkpoint))


def test_mirrored_scores_of_another_checkpoint_are_refused_in_a_member(tmp_path: Path) -> None:
    runs = [make(tmp_path / name, seed, splits=("test",)) for seed, name in enumerate("ab")]
    for run in runs:
        scores.write_index(run, "test", replace(scores.read_index(run, "test"), checkpoint="first"))
        mirrored(run, "test", "first" if run.name == "a" else "second")
    members = [Member(run, flip=True) for run in runs]
    with pytest.raises(MismatchError, match="of split 'test' of b"):
        comparable(members, union=False)
    with pytest.raises(MismatchError, match="of split 'test' of b") as refused:
        ensemble(members, tmp_path / "e", union=False, fresh=False)
    assert "harness predict b --split test --flip" in str(refused.value)
    assert not (tmp_path / "e").exists()


def test_an_ensemble_of_mirrored_scores_of_other_checkpoints_is_refused_where_it_is_used(tmp_path: Path) -> None:
    runs = [make(tmp_path / name, seed, splits=("test",)) for seed, name in enumerate("ab")]
    for run in runs:
        mirrored(run, "test", "second")
    made, splits = ensemble([Member(run) for run in runs], tmp_path / "e", union=False, fresh=False)
    assert splits == ["test", "test.flip"]
    with pytest.raises(MismatchError, match="checkpoints") as refused:
        RunPredictions(made, "test", PostProcessing(flip=True), None)
    assert "`harness ensemble a b --run e --fresh`" in str(refused.value)


def test_what_an_ensemble_lacks_is_made_by_predicting_with_those_members_that_lack_it_and_averaging_again(
    tmp_path: Path,
) -> None:
    runs = [make(tmp_path / "a", 1), make(tmp_path / "b", 2, splits=("test",))]
    made, _ = ensemble([Member(run) for run in runs], tmp_path / "e", union=False, fresh=False)
    with pytest.raises(DataError, match="no complete scores of split 'val'") as refused:
        scores.read_index(made, "val")
    assert refused.value.remedy == "`harness predict b --split val`, then `harness ensemble a b --run e`"


def test_tracks_with_images_that_a_file_has_no_row_of_are_named(
    tmp_path: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, _ = outside_file(tmp_path / "o.npz", drawn_root)
    left_out = [track.name for track in scan(drawn_root).members("train") if len(track.frames)][:2]
    content = dict(np.load(path))
    kept = ~np.isin(content["track"], left_out)
    np.savez(tmp_path / "less.npz", allow_pickle=False, **{name: values[kept] for name, values in content.items()})
    said = CliRunner().invoke(harness, ["import", "less.npz", "--data", str(drawn_root)])
    assert said.exit_code == 0, said.output
    words = "with images without any score in less.npz, to be treated as without a face"
    assert f"2 tracks of train {words}: {', '.join(left_out)}" in said.output
    assert said.output.splitlines()[-1] == "next: harness evaluate model --split val"


def test_members_of_which_no_weight_is_said_count_one_each(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a", 1), make(tmp_path / "b", 2)
    run, _ = ensemble([Member(first), Member(second)], tmp_path / "e", union=False, fresh=False)
    assert [(member["weight"], member["temperature"]) for member in run.manifest["members"]] == [(1.0, 1.0)] * 2
