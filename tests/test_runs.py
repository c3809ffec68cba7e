"""Runs on disk: manifests, scores, checkpoints."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pandas
import pytest

from harness import files
from harness.errors import DataError, LockedError, MismatchError, UsageError
from harness.runs import checkpoints, scores, store
from harness.runs.checkpoints import Checkpoint
from harness.runs.listing import UNSCORED, WIDTH, csv_text, listing, sort
from harness.runs.overview import next_step, overview
from harness.runs.scores import TrackScores
from harness.runs.store import Run
from tests.leftovers import temporary_of_the_dead
from tests.score_files import record_as_it_is

CLASSES = ["Neutral", "Anger", "Disgust"]


def make_run(path: Path, **more: object) -> Run:
    run, _ = store.open_or_create(path, {"kind": "training", "class_names": CLASSES, **more})
    return run


def track_scores(frames: list[int], seed: int = 0) -> TrackScores:
    random = np.random.default_rng(seed)
    return TrackScores(np.array(frames, np.int32), random.normal(size=(len(frames), 3)).astype(np.float32))


def test_the_same_manifest_opens_the_run_again(tmp_path: Path) -> None:
    make_run(tmp_path / "a", recipe={"batch": 3}, where={"data": "/here"}, versions={"torch": "1"})
    run, was_there = store.open_or_create(
        tmp_path / "a",
        {"kind": "training", "class_names": CLASSES, "recipe": {"batch": 3}, "where": {"data": "/there"}, "versions": {}},
    )
    assert was_there
    assert run.manifest["where"] == {"data": "/here"}


def test_a_run_that_was_put_aside_by_a_process_that_died_is_there_for_who_makes_one_of_its_name(tmp_path: Path) -> None:
    path, manifest = tmp_path / "s", {"kind": "training", "class_names": CLASSES}
    run, _ = store.open_or_create(path, manifest)
    path.rename(temporary_of_the_dead(path, aside=True))
    with pytest.raises(DataError, match="another process made this"), store.made_anew(path, manifest, only_new=True):
        pytest.fail("the run has come back")
    assert run.manifest["kind"] == "training"
    assert [one.name for one in tmp_path.iterdir()] == ["s"]


def test_a_run_or_split_that_is_half_made_or_half_removed_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(store.RUNS / "a")
    for split in ("val", "test"):
        scores.write_split(run, split, {"1": track_scores([1, 2])}, {"1": (2, "crops")}, "logits", {})
    written = run.path / "scores" / "val"
    shutil.copytree(written, files._temporary(written))
    shutil.copytree(run.path, files._temporary(store.RUNS / "b"))
    shutil.copytree(run.path, files._temporary(store.RUNS / "a", ".discarded"))
    assert run.splits() == ("val", "test")
    assert [one.name for one in store.every()] == ["a"]
    assert [row.name for row in overview()] == ["a"]


def test_a_run_that_a_process_put_aside_before_it_died_is_listed_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        make_run(store.RUNS / name)
    (store.RUNS / "a").rename(temporary_of_the_dead(store.RUNS / "a", aside=True))
    assert [one.name for one in store.every()] == ["a", "b"]


@pytest.mark.parametrize("way", ["a", "runs/a", "../runs/a"])
def test_a_run_that_a_process_put_aside_before_it_died_is_found_by_its_name_and_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere" if way.startswith("..") else tmp_path)
    path = tmp_path / store.RUNS / "a"
    make_run(path)
    path.rename(temporary_of_the_dead(path, aside=True))
    assert store.find(way).manifest_path.is_file()


def test_other_settings_are_refused_with_each_difference(tmp_path: Path) -> None:
    make_run(tmp_path / "a", recipe={"batch": 3, "seed": 1})
    with pytest.raises(MismatchError, match=r"recipe\.batch: 3 there, 4 now") as refusal:
        make_run(tmp_path / "a", recipe={"batch": 4, "seed": 1})
    assert "recipe.seed" not in str(refusal.value)


@pytest.mark.parametrize(
    ("there", "now", "says"),
    [({"seed": 1}, {"seed": 1, "batch": 4}, "recipe.batch: 'absent' there, 4 now"),
     ({"seed": 1, "batch": 4}, {"seed": 1}, "recipe.batch: 4 there, 'absent' now")],
)  # fmt: skip
def test_a_setting_that_only_one_of_two_manifests_has_is_a_difference(
    there: dict[str, int], now: dict[str, int], says: str
) -> None:
    assert store.differences({"recipe": there}, {"recipe": now}) == [says]


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ({"format": 1}, "it has no 'class_names'"),
        ({"format": 1, "class_names": 8}, "'class_names' is of another kind"),
        ({"format": 1, "class_names": [], "recipe": [1]}, "'recipe' is of another kind"),
        ({"class_names": []}, "a run of another format"),
        ({"format": 2, "class_names": []}, "a run of another format"),
    ],
)
def test_a_manifest_that_is_not_whole_is_refused_by_what_it_lacks(tmp_path: Path, manifest: dict[str, object], says: str) -> None:
    files.write_json(tmp_path / "run.json", manifest)
    with pytest.raises(DataError, match=says) as caught:
        Run(tmp_path).class_names  # noqa: B018 - reading is the test
    assert caught.value.path == str(tmp_path / "run.json")


def test_a_part_that_a_run_of_its_kind_should_have_is_asked_for_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it has no 'recipe'"):
        make_run(tmp_path / "a").part("recipe")


def test_an_unknown_run_suggests_a_near_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs" / "res50-a")
    assert store.find("res50-a").name == "res50-a"
    with pytest.raises(DataError, match="did you mean 'res50-a'"):
        store.find("res50-b")


def test_stored_scores_come_back_as_they_were(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    wanted = {"t1": track_scores([1, 2, 5]), "t2": track_scores([])}
    scores.write_split(run, "val", wanted, {"t1": (6, "annotation"), "t2": (4, "sample")}, "logits", {"x": 1})
    index = scores.read_index(run, "val")
    assert index.rows == {"t1": 6, "t2": 4}
    assert (index.class_names, index.kind, index.settings) == (tuple(CLASSES), "logits", {"x": 1})
    for name, item in wanted.items():
        read = scores.read_track(run, "val", name)
        assert read.frame.dtype == np.int32
        assert read.score.dtype == np.float32
        np.testing.assert_array_equal(read.frame, item.frame)
        np.testing.assert_array_equal(read.score, item.score)
    with np.load(tmp_path / "a" / "scores" / "val" / "t1.npz", allow_pickle=False) as arrays:
        assert sorted(arrays.files) == ["frame", "score"]


def test_the_same_scores_give_the_same_bytes(tmp_path: Path) -> None:
    digests = {scores.write_track(make_run(tmp_path / name), "val", "t", track_scores([1, 3])) for name in "ab"}
    assert len(digests) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_never_stored(tmp_path: Path, value: float) -> None:
    run = make_run(tmp_path / "a")
    wrong = track_scores([1, 2, 9])
    wrong.score[2, 1] = value
    with pytest.raises(DataError, match="track t, frame 9"):
        scores.write_track(run, "val", "t", wrong)
    assert not (tmp_path / "a" / "scores").exists()


def test_a_score_file_that_became_not_finite_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    scores.write_split(run, "val", {"t": track_scores([1, 4])}, {"t": (4, "annotation")}, "logits", {})
    path = scores.directory(run, "val") / "t.npz"
    np.savez(path, frame=np.array([1, 4], np.int32), score=np.array([[0, 0, 0], [0, np.nan, 0]], np.float32))
    record_as_it_is(run, "val", "t")
    with pytest.raises(DataError, match="track t, frame 4"):
        scores.read_track(run, "val", "t")


@pytest.mark.parametrize("damage", ["truncated", "empty", "html", "pickle", "shape"])
def test_a_damaged_score_file_is_named(tmp_path: Path, damage: str) -> None:
    run = make_run(tmp_path / "a")
    scores.write_split(run, "val", {"t": track_scores([1, 2])}, {"t": (4, "annotation")}, "logits", {})
    path = scores.directory(run, "val") / "t.npz"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "html":
        path.write_text("<html>")
    elif damage == "pickle":
        np.savez(path, frame=np.array([{}], dtype=object), score=np.zeros((1, 3), np.float32))
    else:
        np.savez(path, frame=np.array([1, 2]), score=np.zeros((3, 3), np.float32))
    with pytest.raises(DataError, match=r"t\.npz"):
        scores.read_track(run, "val", "t")
    record_as_it_is(run, "val", "t")
    with pytest.raises(DataError, match=r"t\.npz"):
        scores.read_track(run, "val", "t")


def test_a_record_of_damaged_scores_counts_as_none(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    digest = scores.write_track(run, "val", "t", track_scores([1, 2]))
    record = scores.TrackRecord(2, "annotation", 2, (), 0, "x", digest)
    scores.write_record(run, "val", "t", "key", "stamp", record)
    assert scores.read_record(run, "val", "t") == ("key", "stamp", record)
    path = scores.directory(run, "val") / "t.npz"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))
    assert scores.read_record(run, "val", "t") is None


def test_a_key_stands_for_the_checkpoint_and_every_setting_in_whatever_order() -> None:
    settings = {"flip": False, "stride": 2}
    key = scores.key_of("first", settings)
    assert scores.key_of("first", {"stride": 2, "flip": False}) == key
    others = {
        scores.key_of("second", settings),
        scores.key_of(None, settings),
        scores.key_of("first", {**settings, "flip": True}),
        scores.key_of("first", {"flip": False}),
    }
    assert len(others | {key}) == 5


def test_an_incomplete_split_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    with pytest.raises(DataError, match="no complete scores of split 'val'") as refused:
        scores.read_index(run, "val")
    assert refused.value.path == str(tmp_path / "a" / "scores" / "val" / "scores.json")


def checkpoint(run: Run, step: int, metric: float | None) -> Checkpoint:
    return checkpoints.write(run, step, metric, lambda place: files.write_bytes(place / "w", bytes(1000) + str(step).encode()))


def ignore(error: DataError) -> None:
    """What was skipped is of no interest here."""


def test_last_and_best_are_kept_and_the_others_removed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    for step, metric in ((10, 0.3), (20, 0.5), (30, 0.4), (40, None)):
        checkpoints.remove_older(run, checkpoint(run, step, metric))
    assert [path.name for path in checkpoints.folders(run)] == ["step-00000020", "step-00000040"]
    last, best = checkpoints.last(run, ignore), checkpoints.best(run, ignore)
    assert last is not None
    assert best is not None
    assert (last.step, best.step, best.metric) == (40, 20, 0.5)


def test_what_a_dead_process_left_of_a_checkpoint_is_removed_with_the_older_ones(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    newest = checkpoint(run, 10, None)
    left = temporary_of_the_dead(newest.path.with_name("step-00000020"))
    left.mkdir()
    (left / "w").write_bytes(b"half")
    checkpoints.remove_older(run, newest)
    assert list(checkpoints.directory(run).iterdir()) == [newest.path]


def damage_weights(run: Run, step: int) -> None:
    path = checkpoints.directory(run) / f"step-{step:08d}" / "w"
    path.write_bytes(path.read_bytes()[::-1])


def test_a_damaged_newer_checkpoint_never_outlives_the_whole_one_that_was_just_written(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    checkpoint(run, 4, None)
    checkpoint(run, 8, None)
    damage_weights(run, 8)
    taken_up = checkpoints.last(run, ignore)
    assert taken_up is not None
    assert taken_up.step == 4
    checkpoints.remove_older(run, checkpoint(run, 6, None))
    assert sorted(path.name for path in checkpoints.directory(run).iterdir()) == ["step-00000006", "step-00000008.damaged"]
    left = checkpoints.last(run, ignore)
    assert left is not None
    assert left.step == 6


def test_the_best_checkpoint_that_is_whole_is_kept_and_a_better_damaged_one_put_aside(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    for step, metric in ((1, 0.7), (2, 0.9), (3, 0.2)):
        checkpoint(run, step, metric)
    damage_weights(run, 2)
    (checkpoints.directory(run) / "step-00000003" / "MANIFEST.json").write_text("{")
    checkpoints.remove_older(run, checkpoint(run, 4, 0.1))
    there = sorted(path.name for path in checkpoints.directory(run).iterdir())
    assert there == ["step-00000001", "step-00000002.damaged", "step-00000003.damaged", "step-00000004"]
    best = checkpoints.best(run, ignore)
    assert best is not None
    assert best.step == 1


def test_every_single_flipped_byte_is_found(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    checkpoint(run, 10, None)
    checkpoint(run, 20, None)
    newest = checkpoints.folders(run)[-1]
    random = np.random.default_rng(0)
    whole = (newest / "w").read_bytes()
    for position in random.choice(len(whole), 100, replace=False):
        data = bytearray(whole)
        data[position] ^= 1 << int(random.integers(8))
        (newest / "w").write_bytes(bytes(data))
        skipped: list[DataError] = []
        found = checkpoints.last(run, skipped.append)
        assert found is not None
        assert found.step == 10
        assert "changed or damaged" in str(skipped[0])
        assert str(newest / "w") in str(skipped[0])


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
STRANGERS = {
    "a web page": b"<!DOCTYPE html><html>gone</html>",
    "a Git LFS pointer": LFS,
    "a git-annex pointer": b"/annex/objects/MD5E-s9--0.safetensors\n",
    "empty": b"",
}


@pytest.mark.parametrize("name", ["w", "MANIFEST.json"])
@pytest.mark.parametrize("kind", STRANGERS)
def test_what_stands_in_a_checkpoints_place_is_named_for_what_it_is(tmp_path: Path, name: str, kind: str) -> None:
    run = make_run(tmp_path / "a")
    checkpoint(run, 10, None)
    path = checkpoints.folders(run)[0] / name
    path.write_bytes(STRANGERS[kind])
    with pytest.raises(DataError, match=f"is {kind}") as caught:
        checkpoints.verify(path.parent)
    assert caught.value.path == str(path)


@pytest.mark.parametrize(("data", "says"), [(b"1", "cut short"), (b"1" * 5000, "too long"), (b"1" * 1002, "changed or damaged")])
def test_other_damage_is_told_by_length(tmp_path: Path, data: bytes, says: str) -> None:
    run = make_run(tmp_path / "a")
    checkpoint(run, 10, None)
    path = checkpoints.folders(run)[0] / "w"
    assert path.stat().st_size == 1002
    path.write_bytes(data)
    with pytest.raises(DataError, match=says):
        checkpoints.verify(path.parent)


@pytest.mark.parametrize("damage", ["truncated", "empty", "absent", "manifest"])
def test_a_damaged_checkpoint_is_passed_over_by_name(tmp_path: Path, damage: str) -> None:
    run = make_run(tmp_path / "a")
    checkpoint(run, 10, 0.9)
    checkpoint(run, 20, 0.1)
    newest = checkpoints.folders(run)[-1]
    if damage == "truncated":
        (newest / "w").write_bytes(b"123")
    elif damage == "empty":
        (newest / "w").write_bytes(b"")
    elif damage == "absent":
        (newest / "w").unlink()
    else:
        (newest / "MANIFEST.json").write_text("{")
    skipped: list[DataError] = []
    found = checkpoints.last(run, skipped.append)
    assert found is not None
    assert found.step == 10
    assert len(skipped) == 1


def test_when_no_checkpoint_is_whole_nothing_starts_from_scratch(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    assert checkpoints.last(run, ignore) is None
    checkpoint(run, 10, None)
    (checkpoints.folders(run)[0] / "w").write_bytes(b"")
    with pytest.raises(DataError, match="no checkpoint of this run is whole"):
        checkpoints.last(run, ignore)


def test_an_unknown_choice_of_checkpoint_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    with pytest.raises(UsageError, match="did you mean 'best'"):
        checkpoints.choose(run, "bets", ignore)
    with pytest.raises(DataError, match="no last checkpoint yet"):
        checkpoints.choose(run, "last", ignore)


def test_the_overview_says_which_run_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / "runs" / "good", recipe={"backbone": "res18", "image_size": 32, "seed": 4})
    checkpoint(run, 10, 0.25)
    (tmp_path / "runs" / "bad").mkdir()
    (tmp_path / "runs" / "bad" / "run.json").write_text("{")
    rows = overview()
    assert [(row.name, row.kind, row.steps, row.best) for row in rows] == [
        ("bad", "damaged", None, None),
        ("good", "training", 10, 0.25),
    ]
    assert "res18, 32 px, seed 4" in listing(rows)
    json.dumps([row.as_dict() for row in rows])


def evaluation(run: Run, value: float, scores_digest: str | None = None, split: str = "val") -> None:
    found = {"all_labelled": {"macro_f1": {"value": value, "low": value - 0.1, "high": None if value < 0.2 else value + 0.1}}}
    (run.path / "evaluation").mkdir(exist_ok=True)
    (run.path / "evaluation" / f"{split}.json").write_text(json.dumps({**found, "scores": scores_digest}))


def test_the_overview_is_a_table_to_choose_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = {"backbone": "res18", "image_size": 32, "seed": 4, "augmentation": {"flip": 0.5}, "batch": 8}
    first = make_run(tmp_path / "runs" / "first", recipe=recipe)
    second = make_run(tmp_path / "runs" / "second", recipe={**recipe, "seed": 5, "augmentation": {"flip": 0.0}})
    third = make_run(tmp_path / "runs" / "third", kind="ensemble", members=[{"run": "first", "weight": 1.0}])
    make_run(tmp_path / "runs" / "fourth", kind="import", source="friends.npz:x")
    evaluation(first, 0.31)
    evaluation(second, 0.15)
    evaluation(third, 0.42, split="oof")
    rows = {row.name: row for row in overview()}
    assert list(rows) == ["third", "first", "second", "fourth"]
    assert rows["first"].differs == {"seed": 4, "augmentation.flip": 0.5}
    assert rows["second"].differs == {"seed": 5, "augmentation.flip": 0.0}
    assert rows["third"].score is not None
    assert (rows["third"].score.split, rows["third"].score.value) == ("oof", 0.42)
    assert rows["fourth"].score is None
    text = listing(list(rows.values()))
    assert ".310 [.210, .410]" in text
    assert ".150 " in text
    assert "augmentation.flip=0.0 seed=5; training: res18, 32 px" in " ".join(text.split())
    titles = [line for line in text.splitlines() if " on " in line or "not evaluated" in line]
    assert titles == ["macro-F1 on oof", "macro-F1 on val", "not evaluated yet"]
    assert json.loads(json.dumps([row.as_dict() for row in rows.values()]))[1]["score"]["low"] == pytest.approx(0.21)


def seeds_of_two_recipes(runs: Path) -> None:
    """Three seeds of a recipe and two of another, evaluated; the recipes differ in prose too."""
    recipe = {"backbone": "res18", "image_size": 32, "batch": 8, "about": "this one", "paper_f1": 37.57}
    for seed, value in enumerate((0.30, 0.36, 0.33)):
        evaluation(make_run(runs / f"small-{seed}", recipe={**recipe, "seed": seed}, seed=seed), value)
    for seed, value in enumerate((0.41, 0.40)):
        changed = {**recipe, "seed": seed, "batch": 64, "about": "the other"}
        evaluation(make_run(runs / f"large-{seed}", recipe=changed, seed=seed), value)


def test_seeds_of_a_recipe_stand_below_their_mean_and_prose_sets_nothing_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seeds_of_two_recipes(tmp_path / "runs")
    lines = listing(overview()).splitlines()
    names = [line[:11].rstrip() for line in lines[2:]]
    assert names == ["2 seeds", "  large-0", "  large-1", "3 seeds", "  small-1", "  small-2", "  small-0"]
    assert ".405 sd .007" in lines[2]  # statistics by hand: deviations of 0.005 about 0.405
    assert ".330 sd .030" in lines[5]
    assert "batch=64" in lines[2]
    assert "seed=" not in lines[2]
    assert "seed=1" in lines[4]
    assert not any(word in "\n".join(lines) for word in ("this one", "about", "paper"))


def test_a_list_of_runs_fits_a_hundred_columns_and_leaves_nothing_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {f"setting_number_{number}": number for number in range(12)}
    for name, shift in (("a-run-of-" + "many-words-" * 6, 0), ("other", 1)):
        recipe = {"backbone": "torchvision:shufflenet_v2_x0_5", "image_size": 32, "seed": 0}
        evaluation(make_run(tmp_path / "runs" / name, recipe={**recipe, **{k: v + shift for k, v in settings.items()}}), 0.3)
    text = listing(overview())
    assert max(map(len, text.splitlines())) <= WIDTH
    words = {word.strip(";") for word in text.split()}
    assert words >= {f"{key}={value + shift}" for key, value in settings.items() for shift in (0, 1)}


def test_runs_are_sorted_and_written_as_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seeds_of_two_recipes(tmp_path / "runs")
    make_run(tmp_path / "runs" / "hostile", kind="import", source="=cmd()")
    names = ["hostile", "large-0", "large-1", "small-0", "small-1", "small-2"]
    assert [row.name for row in sort(overview(), "name")] == names
    table = pandas.read_csv(io.StringIO(csv_text(sort(overview(), "name"))))
    assert list(table["run"]) == names
    assert list(table["score"].dropna()) == [0.41, 0.40, 0.30, 0.36, 0.33]
    assert list(table["batch"].dropna()) == [64, 64, 8, 8, 8]
    assert table["about"][0] == "'=cmd()"
    with pytest.raises(UsageError, match="did you mean 'score'"):
        sort(overview(), "scroe")


def test_a_run_without_a_checkpoint_stands_with_those_that_made_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = {"backbone": "res18", "image_size": 32, "seed": 0}
    for name, steps in (("b", None), ("c", 0), ("a", 0), ("few", 10), ("many", 20)):
        run = make_run(tmp_path / "runs" / name, recipe=recipe)
        if steps is not None:
            checkpoint(run, steps, None)
    assert [row.name for row in sort(overview(), "steps")] == ["many", "few", "a", "b", "c"]


def test_the_two_best_of_a_split_are_to_be_compared_and_never_two_of_other_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seeds_of_two_recipes(tmp_path / "runs")
    evaluation(make_run(tmp_path / "runs" / "folds", kind="import"), 0.9, split="oof")
    assert next_step(overview()) == "harness compare large-1 large-0 --split val"


def test_tables_are_sorted_by_split_and_runs_without_a_score_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seeds_of_two_recipes(tmp_path / "runs")
    evaluation(make_run(tmp_path / "runs" / "zz", kind="import"), 0.1, split="oof")
    make_run(tmp_path / "runs" / "aa", kind="import")
    titles = [table.splitlines()[0] for table in listing(overview()).split("\n\n")]
    assert titles[0].endswith(" on oof")
    assert titles[1].endswith(" on val")
    assert titles[2:] == [UNSCORED]


def test_a_stored_evaluation_of_older_scores_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / "runs" / "run", kind="import")
    values = scores.TrackScores(np.array([1], np.int32), np.zeros((1, 8), np.float32))
    scores.write_split(run, "val", {"t": values}, {"t": (1, "annotation")}, "logits", {})
    evaluation(run, 0.3, scores.index_digest(run, "val"))
    assert "older" not in listing(overview())
    other = scores.TrackScores(np.array([1], np.int32), np.ones((1, 8), np.float32))
    scores.write_split(run, "val", {"t": other}, {"t": (1, "annotation")}, "logits", {})
    assert ".300 [.200, .400] older" in listing(overview())


def test_a_damaged_evaluation_is_a_row_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs" / "without-recipe")
    make_run(tmp_path / "runs" / "without-backbone", recipe={})
    run = make_run(tmp_path / "runs" / "run", kind="import")
    (run.path / "evaluation").mkdir()
    (run.path / "evaluation" / "val.json").write_text("[]")
    faults = {row.name: row.fault or "" for row in overview()}
    assert "val.json" in faults["run"]
    assert "recipe" in faults["without-recipe"]
    assert "a part of the run's manifest lacks 'backbone'" in faults["without-backbone"]


def test_an_older_run_stays_whole_until_the_new_one_is(tmp_path: Path) -> None:
    make_run(tmp_path / "a", seed=0)

    def fail() -> None:
        with store.made_anew(tmp_path / "a", {"class_names": CLASSES, "seed": 1}) as run:
            assert run.manifest["seed"] == 1
            assert Run(tmp_path / "a").manifest["seed"] == 0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert Run(tmp_path / "a").manifest["seed"] == 0
    with store.made_anew(tmp_path / "a", {"class_names": CLASSES, "seed": 1}):
        pass
    assert Run(tmp_path / "a").manifest["seed"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_run_that_is_being_written_is_not_replaced(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", seed=0)
    for fresh in (True, False):
        opening = store.opened(run.path, {"kind": "training", "class_names": CLASSES, "seed": 0}, fresh)
        with files.lock(run.path / store.LOCK, "the run"), pytest.raises(LockedError), opening:
            pass
    assert run.manifest["seed"] == 0


def test_a_run_that_something_is_added_to_is_not_replaced_but_may_go_on(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", seed=0)
    with store.adding(run), store.adding(run), store.owned(run.path):
        with pytest.raises(LockedError), store.made_anew(run.path, {"class_names": CLASSES, "seed": 1}):
            pass
        with pytest.raises(LockedError), store.owned(run.path):
            pass
    with store.adding(run), pytest.raises(LockedError), store.made_anew(run.path, {"class_names": CLASSES, "seed": 1}):
        pass
    with store.made_anew(run.path, {"class_names": CLASSES, "seed": 1}):
        with pytest.raises(LockedError), store.adding(run):
            pass
        with pytest.raises(LockedError), store.owned(run.path):
            pass
    assert run.manifest["seed"] == 1


def test_a_new_run_does_not_take_the_place_of_one_that_was_begun_meanwhile(tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match="another process made this in the meantime"),
        store.made_anew(tmp_path / "a", {"class_names": CLASSES, "seed": 1}),
    ):
        make_run(tmp_path / "a", seed=0)
    assert Run(tmp_path / "a").manifest["seed"] == 0


def test_a_run_put_aside_by_a_killed_process_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs" / "a", seed=7)
    (tmp_path / "runs" / "a").rename(temporary_of_the_dead(tmp_path / "runs" / "a", aside=True))
    assert store.find("a").manifest["seed"] == 7


def test_who_goes_on_with_a_run_takes_away_what_a_killed_one_left_beside_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", seed=0)
    for aside in (False, True):
        temporary_of_the_dead(tmp_path / "a", aside).mkdir()
    with store.owned(run.path):
        assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("taking", [lambda path: store.made_anew(path, {"class_names": CLASSES, "seed": 2}), store.owned])
def test_what_a_killed_container_put_aside_for_a_run_that_took_its_place_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taking: Callable[[Path], AbstractContextManager[object]]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs" / "a", seed=0).path.rename(tmp_path / "runs" / ".a.00000001-77.aside.tmp")
    make_run(tmp_path / "runs" / "a.b", seed=0).path.rename(tmp_path / "runs" / ".a.b.00000001-77.aside.tmp")
    run = make_run(tmp_path / "runs" / "a", seed=1)
    with taking(run.path):
        pass
    shutil.rmtree(run.path)
    with pytest.raises(DataError, match="no run called 'a'"):
        store.find("a")
    assert store.find("a.b").manifest["seed"] == 0


def test_a_checkpoint_of_other_settings_is_not_taken_up(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", seed=0)
    checkpoints.write(run, 4, 0.5, lambda folder: files.write_bytes(folder / "w", b"weights"))
    for change in ({"where": {"data": "/elsewhere"}}, {"versions": {"torch": "9"}}, {"git_commit": "f" * 40}):
        store.rewrite(run, {**run.manifest, **change})
        assert checkpoints.last(run, lambda error: None) is not None
    store.rewrite(run, {**run.manifest, "seed": 1})
    for which in (checkpoints.last, checkpoints.best):
        with pytest.raises(DataError, match="trained with other settings or data than"):
            which(run, lambda error: None)


def test_a_checkpoint_that_does_not_say_whose_it_is_is_read_as_before(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", seed=0)
    written = checkpoints.write(run, 4, 0.5, lambda folder: files.write_bytes(folder / "w", b"weights"))
    path = written.path / checkpoints.MANIFEST
    older = {key: value for key, value in files.read_json(path).items() if key not in ("settings", "sha256")}
    older["sha256"] = files.sha256_of_bytes(files.json_text(older).encode())
    path.write_text(files.json_text(older))
    store.rewrite(run, {**run.manifest, "seed": 1})
    found = checkpoints.last(run, lambda error: None)
    assert found is not None
    assert found.settings is None
    # What the scores of a checkpoint are known by is the same in both.
    assert found.digest == written.digest == files.sha256(path)


def test_checkpoints_without_a_manifest_of_their_run_are_not_taken_up(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", seed=0)
    checkpoints.write(run, 4, None, lambda folder: None)
    run.manifest_path.unlink()
    with pytest.raises(DataError, match="has checkpoints, but no run"):
        make_run(tmp_path / "a", seed=1)
    assert not run.manifest_path.exists()


def test_the_best_of_equal_checkpoints_is_the_earliest(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    for step, metric in ((4, 0.1), (8, 0.5), (12, 0.5), (16, 0.2)):
        checkpoints.write(run, step, metric, lambda folder: None)
    found = checkpoints.best(run, lambda error: None)
    assert found is not None
    assert found.step == 8


def test_a_checkpoint_that_is_damaged_again_takes_the_place_of_the_one_put_aside(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")

    def write(folder: Path) -> None:
        (folder / "model").write_bytes(b"weights")

    kept = checkpoints.write(run, 2, None, write)
    for text in (b"damaged", b"damaged again"):
        checkpoints.write(run, 4, 0.5, write)
        (checkpoints.directory(run) / "step-00000004" / "model").write_bytes(text)
        checkpoints.remove_older(run, kept)
        aside = checkpoints.directory(run) / "step-00000004.damaged" / "model"
        assert aside.read_bytes() == text


@pytest.mark.parametrize(
    ("key", "value"),
    [("rows", "6"), ("rows", -1), ("seen", True), ("unreadable", {"x": []}), ("skipped", None), ("images", 3), ("scores", None)],
)
def test_an_index_with_a_value_of_another_kind_is_refused(tmp_path: Path, key: str, value: object) -> None:
    run = make_run(tmp_path / "a")
    digest = scores.write_track(run, "val", "t", track_scores([1, 2]))
    record = scores.TrackRecord(6, "annotation", 2, (), 0, "", digest)
    scores.write_index(run, "val", scores.ScoreIndex(run.class_names, "logits", None, {}, {"t": record}))
    index = scores.directory(run, "val") / "scores.json"
    content = files.read_json(index)
    content["tracks"][0][key] = value
    index.write_text(json.dumps(content))
    with pytest.raises(DataError, match="not an index of scores") as refused:
        scores.read_index(run, "val")
    assert refused.value.remedy == "`harness predict a --split val`"


@pytest.mark.parametrize(("key", "value"), [("class_names", [None]), ("challenge", []), ("postprocessing", 1e308)])
def test_a_manifest_with_a_value_of_another_kind_is_refused(tmp_path: Path, key: str, value: object) -> None:
    run = make_run(tmp_path / "a")
    run.manifest_path.write_text(json.dumps({**run.manifest, key: value}))
    with pytest.raises(DataError, match=f"'{key}'"):
        _ = run.manifest


@pytest.mark.parametrize(("key", "value"), [("checkpoint", 3), ("settings", ["stride"]), ("settings", None)])
def test_an_index_whose_checkpoint_or_settings_are_of_another_kind_is_refused(tmp_path: Path, key: str, value: object) -> None:
    run = make_run(tmp_path / "a")
    scores.write_split(run, "val", {"t": track_scores([1])}, {"t": (1, "annotation")}, "logits", {})
    index = scores.directory(run, "val") / "scores.json"
    index.write_text(json.dumps({**files.read_json(index), key: value}))
    with pytest.raises(DataError, match="not an index of scores"):
        scores.read_index(run, "val")
