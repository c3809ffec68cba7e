"""Whoever writes into a run asks first: a run that is being replaced takes nothing, and one that is written is not replaced."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import files
from harness.audio.extract import Extractor, extract
from harness.challenge import EXPR
from harness.data.folds import fold_tracks, make_folds, write_folds
from harness.data.scan import scan
from harness.data.tracks import DataRoot, Track
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_FINDINGS, DataError, LockedError, MismatchError
from harness.evaluation import stored
from harness.inference import predict as prediction
from harness.inference.settings import Scoring
from harness.inference.split import ScoredSplit
from harness.runs import checkpoints, provenance, scores, store
from harness.runs.scores import TrackScores
from harness.runs.store import Run
from harness.selection import history
from harness.studies import crossval, sweep
from harness.submission import checks, from_run
from harness.submission.build import build
from harness.submission.checks import Verdict
from harness.training.training_data import folds_provenance
from tests.command_line import harness
from tests.conftest import TINY
from tests.interruption import result


@pytest.fixture
def place(tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the trained run `a`, of which nothing is being written."""
    shutil.copytree(trained, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def training(root: Path, *more: str) -> list[str]:
    changes = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
    return ["train", "--recipe", "res18", "--data", str(root), "--run", "a", "--workers", "0", *changes, *more]


def outside(root: Path, *splits: str) -> str:
    """A file of probabilities of the validation split or of others, whose run is called `a`."""
    tracks = [track for split in splits or ("val",) for track in scan(root).split(split)]
    frames = np.concatenate([track.frames for track in tracks])
    names = np.concatenate([np.full(len(track.frames), track.name) for track in tracks])
    np.savez("outside.npz", track=names, frame=frames, a=np.full((len(frames), 8), 1 / 8, np.float32))
    return "outside.npz"


ADDING = {
    "predict": ["predict", "a", "--split", "val", "--workers", "0", "--batch", "16"],
    "features": ["features", "a", "--split", "val", "--workers", "0", "--batch", "16"],
    "tune": ["tune", "a"],
    "evaluate": ["evaluate", "a", "--split", "val"],
    "predict a clip": ["predict", "a", "--video", "clip.mp4"],
}


@pytest.mark.parametrize("verb", [*ADDING, "train", "import"])
def test_nothing_is_written_into_a_run_whose_place_another_takes(
    place: Path, drawn_root: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if verb == "train":
        arguments = training(drawn_root)
    elif verb == "import":
        arguments = ["import", outside(drawn_root), "--data", str(drawn_root), "--fresh"]
    else:
        arguments = [*ADDING[verb], "--data", str(drawn_root)]
    before = result(Run(Path("runs/a")))
    with files.lock(Path("runs/a") / store.FOLDER_LOCK, "the run"):
        assert harness(*arguments) == EXIT_DATA
    assert "the run 'a' is being written by another process" in capsys.readouterr().err
    assert result(Run(Path("runs/a"))) == before


class Here:
    """A training of a sweep in this process."""

    ended = True

    def __init__(self, arguments: Sequence[str], place: Mapping[str, str]) -> None:
        self.exit_code = harness(*arguments)
        self.last_words = "it was refused"


@pytest.mark.parametrize("verb", ["ensemble", "crossval", "sweep", "pretrain"])
def test_no_run_is_made_where_another_process_makes_one(
    place: Path, drawn_root: Path, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweep, "_Process", Here)
    recipe, data = training(drawn_root)[1:], ["--data", str(drawn_root)]
    small = ["--set", "backbone=torchvision:shufflenet_v2_x0_5", "--set", "decode_size=32", "--set", "image_size=32"]
    arguments, name = {
        "ensemble": (["ensemble", "a", "b", *data, "--run", "e", "--fresh"], "e"),
        "crossval": (["crossval", *recipe, "--folds", "folds.json", "--run", "cv", "--from-scratch"], "cv"),
        "sweep": (["sweep", *recipe, "--seeds", "3", "--run", "s"], sweep.planned("s", [[]], [3], [], None)[0].run),
        "pretrain": (["pretrain", "--method", "byol", *data, *small, "--run", "p", "--workers", "0"], "p"),
    }[verb]
    shutil.copytree("runs/a", "runs/b")
    assert harness("folds", *data, "--folds", "2", "--output", "folds.json") == EXIT_DONE
    with files.lock(Path("runs") / name / store.FOLDER_LOCK, "the run"):
        assert harness(*arguments) == (EXIT_FINDINGS if verb == "sweep" else EXIT_DATA)
        assert f"the run {name!r} is being written by another process" in capsys.readouterr().err
        assert result(Run(Path("runs") / name)) == {}


def test_sound_is_not_written_into_a_run_whose_place_another_takes_nor_twice_at_once(tmp_path: Path) -> None:
    run, _ = store.open_or_create(tmp_path / "s", {"kind": "audio", "class_names": []})
    extractor = Extractor({"kind": "none"}, 1, lambda waveform, times: np.zeros((len(times), 1), np.float32))
    for lock in (store.FOLDER_LOCK, "features/val/.lock-1-of-2-0"):
        with files.lock(run.path / lock, "it"), pytest.raises(LockedError):
            extract(run, "val", [], {}, extractor, shard=(1, 2))
    with files.lock(run.path / "features/val/.lock-1-of-2-0", "it"):
        extract(run, "val", [], {}, extractor, shard=(2, 2))


SOUND = {"kind": "audio", "class_names": ["heard"]}


def test_of_processes_that_fill_a_run_together_one_makes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_anew, path = store.made_anew, tmp_path / "s"

    @contextmanager
    def slow(path: Path, *rest: Any, **more: Any) -> Iterator[Run]:
        with made_anew(path, SOUND):
            pass
        with made_anew(path, *rest, **more) as run:
            yield run

    monkeypatch.setattr(store, "made_anew", slow)
    with store.joined(path, SOUND, dict) as run, store.joined(path, SOUND, dict) as other:
        assert (run, other) == (Run(path), Run(path))
        with pytest.raises(LockedError), made_anew(path, {**SOUND, "kind": "training"}):
            pytest.fail("the run is being filled")
    assert os.listdir(tmp_path) == ["s"]


def test_sound_begins_no_run_in_the_place_of_a_training_that_was_made_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_anew, path = store.made_anew, tmp_path / "s"

    @contextmanager
    def slow(path: Path, *rest: Any, **more: Any) -> Iterator[Run]:
        with made_anew(path, {"kind": "training", "class_names": []}):
            pass
        with made_anew(path, *rest, **more) as run:
            yield run

    monkeypatch.setattr(store, "made_anew", slow)
    with pytest.raises(MismatchError), store.joined(path, SOUND, dict):
        pytest.fail("another run has the name")
    with pytest.raises(DataError), store.opened(tmp_path / "t", SOUND, fresh=False):
        pass
    assert {Run(tmp_path / name).manifest["kind"] for name in "st"} == {"training"}


def test_a_folder_that_holds_no_run_is_made_one_before_others_may_add_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adding, there = store.adding, []

    def looking(run: Run) -> AbstractContextManager[None]:
        there.append(run.manifest_path.is_file())
        return adding(run)

    monkeypatch.setattr(store, "adding", looking)
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "notes.txt").touch()
    with store.joined(tmp_path / "s", SOUND, dict) as run:
        assert run.manifest["kind"] == "audio"
    assert there == [True]


@pytest.mark.parametrize("verb", ["ensemble", "import"])
def test_checkpoints_without_a_manifest_are_not_thrown_away_for_a_run_of_that_name(
    place: Path, drawn_root: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree("runs/a", "runs/b")
    shutil.copytree("runs/a", "runs/lost")
    Path("runs/lost/run.json").unlink()
    before = result(Run(Path("runs/lost")))
    if verb == "ensemble":
        arguments = ["ensemble", "a", "b", "--run", "lost"]
    else:
        with np.load(outside(drawn_root)) as arrays:
            np.savez("features.npz", track=arrays["track"], frame=arrays["frame"], lost=arrays["a"])
        arguments = ["import", "features.npz", "--features"]
    assert harness(*arguments, "--data", drawn_root) == EXIT_DATA
    assert "but no run.json that says what they are of" in capsys.readouterr().err
    assert {name: digest for name, digest in result(Run(Path("runs/lost"))).items() if not name.endswith(".lock")} == before


@pytest.fixture
def folded(drawn_root: Path, tmp_path: Path) -> tuple[Run, DataRoot]:
    """A cross-validation of two folds, whose runs have scored what each held out, and the test split."""
    root = scan(drawn_root)
    tracks = fold_tracks(root)
    folds = make_folds(tracks, 2, seed=0)
    parts = {"class_names": list(EXPR.class_names), "seed": 0}
    data = {"splits": [], "folds": folds_provenance(folds)}
    run, _ = store.open_or_create(tmp_path / "cv", {**parts, "kind": "crossval", "members": ["m-0", "m-1"], "data": data})
    write_folds(run.path / crossval.FOLDS, folds)
    for fold, member in enumerate(crossval.members_of(run)):
        store.open_or_create(member.path, parts)
        for split, scored in {f"fold-{fold}": folds.validation(tracks, fold), "test": root.split("test")}.items():
            score_evenly(member, split, scored)
    return run, root


def score_evenly(run: Run, split: str, tracks: Sequence[Track], **settings: Any) -> None:
    even = {track.name: TrackScores(track.frames, np.full((len(track.frames), 8), 1 / 8, np.float32)) for track in tracks}
    rows = {track.name: (track.rows, track.rows_from) for track in tracks}
    scores.write_split(run, split, even, rows, "probabilities", settings)


@pytest.mark.parametrize("split", ["oof", "test"])
@pytest.mark.parametrize("anew", ["the run 'cv'", "the run 'm-1'", "nothing"])
def test_scores_of_folds_are_not_stored_where_they_or_the_cross_validation_were_made_anew(
    folded: tuple[Run, DataRoot], split: str, anew: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run, root), read_track, own = folded, scores.read_track, "fold-1" if split == "oof" else split
    last = crossval.members_of(run)[1]
    tracks = [track for track in root.tracks if track.name in scores.read_index(last, own).tracks]

    def predict(*arguments: Any) -> ScoredSplit:
        if anew == "the run 'cv'":
            store.rewrite(run, {**run.manifest, "seed": 1})
        return ScoredSplit(complete=True)

    def read(*which: Any) -> TrackScores:
        found = read_track(*which)
        if anew == "the run 'm-1'":
            score_evenly(last, own, tracks, of="another model")
        return found

    monkeypatch.setattr(crossval, "predict", predict)
    monkeypatch.setattr(scores, "read_track", read)
    if anew == "nothing":
        assert crossval.predict_split(run, root, split, Scoring(), print)
        assert run.splits() == (split,)
        return
    with pytest.raises(MismatchError, match=f"{anew} was rewritten while its"):
        crossval.predict_split(run, root, split, Scoring(), print)
    assert run.splits() == ()


def test_an_evaluation_is_not_stored_with_a_run_that_took_the_place_of_the_one_it_is_of(
    place: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_stored = stored.as_stored

    def slow(*arguments: Any) -> dict[str, Any]:
        assert harness("import", outside(drawn_root), "--data", drawn_root, "--fresh") == EXIT_DONE
        return as_stored(*arguments)

    monkeypatch.setattr(stored, "as_stored", slow)
    assert harness("evaluate", "a", "--split", "val", "--data", drawn_root) == EXIT_DATA
    assert "rewritten while its scores were read" in capsys.readouterr().err
    assert not Path("runs/a/evaluation").exists()


def test_a_recipe_that_was_chosen_is_noted_before_another_is_forgotten(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[str] = []
    first, second = (Run(Path(name)) for name in ("first", "second"))

    @contextmanager
    def adding(run: Run) -> Iterator[None]:
        noted.append(run.name)
        yield

    for number, run in enumerate((first, second)):
        store.open_or_create(run.path, {"kind": "training", "class_names": [], "recipe": {"batch": number}})
    monkeypatch.setattr(history, "adding", adding)
    history.note_choice([first, second], [second], "recipe", "val")
    assert noted == ["second", "first"]
    assert [(run.path / history.CHOICES).is_file() for run in (first, second)] == [False, True]


def test_a_run_that_is_predicted_may_be_trained_on_but_not_anew(
    place: Path, drawn_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = result(Run(Path("runs/a")))
    with store.adding(Run(Path("runs/a"))):
        assert harness(*training(drawn_root)) == EXIT_DONE
        for arguments in (
            training(drawn_root, "--fresh", "--seed", "9"),
            ["import", outside(drawn_root), "--data", str(drawn_root), "--fresh"],
        ):
            capsys.readouterr()
            assert harness(*arguments) == EXIT_DATA
            assert "being written by another process" in capsys.readouterr().err
    assert result(Run(Path("runs/a"))) == before


@contextmanager
def no_space_at(stage: str) -> Iterator[None]:
    """Within the block the first write that comes to this stage fails for want of space, and all after it."""
    full = []

    def fail(name: str) -> None:
        full.extend([name] * (name == stage))
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    files.set_stage_hook(fail)
    try:
        yield
    finally:
        files.set_stage_hook(None)


@pytest.mark.parametrize("stage", ["flush", "directory-sync", "directory-rename"])
def test_a_run_is_there_until_the_one_that_takes_its_place_has_its_manifest(place: Path, drawn_root: Path, stage: str) -> None:
    before = result(Run(Path("runs/a")))
    with no_space_at(stage):
        assert harness(*training(drawn_root, "--fresh", "--seed", "9")) == EXIT_DATA
    assert result(Run(Path("runs/a"))) == before
    assert sorted(os.listdir("runs")) == ["a"]


def test_the_figures_of_a_checkpoint_are_on_the_disk_before_it_is(
    place: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, write = files.sync, checkpoints.write

    def noted_sync(path: Path) -> None:
        done.append(f"{path.name} {len(path.read_bytes().splitlines())}")
        sync(path)

    def noted_write(run: Run, step: int, *rest: object) -> object:
        done.append(f"checkpoint {step}")
        return write(run, step, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "sync", noted_sync)
    monkeypatch.setattr(checkpoints, "write", noted_write)
    assert harness(*training(drawn_root, "--fresh")) == EXIT_DONE
    # One line a step, and one of each evaluation, of which the 6th and the 12th step have one.
    assert done == [
        *("metrics.jsonl 4", "checkpoint 4"),
        *("metrics.jsonl 7", "checkpoint 6"),
        *("metrics.jsonl 9", "checkpoint 8"),
        *("metrics.jsonl 14", "checkpoint 12"),
    ]


READING = {
    "predict from scores": ["predict", "a", "--from-scores"],
    "predict": ["predict", "a", "--workers", "0", "--batch", "16"],
    "evaluate": ["evaluate", "a", "--split", "val"],
    "tune": ["tune", "a"],
    "ensemble": ["ensemble", "a", "b", "--run", "e"],
}


@pytest.mark.parametrize("verb", READING)
def test_a_run_that_takes_its_place_while_another_is_read_gets_nothing_of_it(
    place: Path, drawn_root: Path, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["import", outside(drawn_root, "val", "test"), "--data", str(drawn_root), "--fresh"]
    shutil.copytree("runs/a", "runs/b")
    read_track = scores.read_track
    codes: list[int] = []

    def interrupted(*which: Any) -> TrackScores:
        if not codes:
            codes.append(harness(*arguments))
        return read_track(*which)

    monkeypatch.setattr(scores, "read_track", interrupted)
    assert harness(*READING[verb], "--data", drawn_root) == EXIT_DATA
    assert "rewritten while" in capsys.readouterr().err
    assert codes == [EXIT_DONE]
    assert (sorted(os.listdir(place)), sorted(os.listdir("runs"))) == (["outside.npz", "runs"], ["a", "b"])
    # A lock may be left.
    replaced = {name: digest for name, digest in result(Run(Path("runs/a"))).items() if not name.endswith(".lock")}
    shutil.rmtree("runs/a")
    assert harness(*arguments) == EXIT_DONE
    assert result(Run(Path("runs/a"))) == replaced


@pytest.mark.parametrize("verb", ["predict", "features"])
def test_a_run_that_takes_its_place_while_a_checkpoint_is_loaded_gets_no_numbers_of_it(
    place: Path, drawn_root: Path, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replaced: dict[str, str] = {}

    def interrupted() -> tuple[str, ...]:
        assert harness("import", outside(drawn_root), "--data", drawn_root, "--fresh") == EXIT_DONE
        replaced.update(result(Run(Path("runs/a"))))
        return ()

    # Asked last before anything is written.
    monkeypatch.setattr(prediction, "overruled", interrupted)
    assert harness(*ADDING[verb], "--data", drawn_root) == EXIT_DATA
    assert "the run 'a' was rewritten while its checkpoint was loaded" in capsys.readouterr().err
    assert result(Run(Path("runs/a"))) == replaced != {}


def test_no_answer_of_a_run_is_written_past_a_link_in_the_place_of_its_lock(
    place: Path, drawn_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = Path("runs/a") / store.FOLDER_LOCK
    lock.unlink(missing_ok=True)
    lock.symlink_to("run.json")
    assert harness("predict", "a", "--from-scores", "--data", drawn_root) == EXIT_DATA
    assert f"{lock}: a link stands in the place of a lock" in capsys.readouterr().err
    assert not Path("submissions").exists()


def test_a_run_is_read_without_a_lock_where_the_file_system_has_none_but_not_written(
    place: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", fail)
    assert harness("predict", "a", "--from-scores", "--data", drawn_root) == EXIT_DONE
    assert harness("tune", "a", "--data", drawn_root) == EXIT_DATA
    assert f"runs/a/{store.FOLDER_LOCK}: this file system has no locks" in capsys.readouterr().err


@pytest.mark.parametrize("fault", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_run_is_read_without_any_lock_for_it_may_lie_where_nothing_can_be_written(
    place: Path, drawn_root: Path, fault: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_file, refused = os.open, []

    def refuse(path: Any, *arguments: Any, **named: Any) -> int:
        if str(path).startswith("runs") and arguments[0] & os.O_CREAT:
            refused.append(Path(path).name)
            raise OSError(fault, os.strerror(fault), path)
        return open_file(path, *arguments, **named)

    monkeypatch.setattr(os, "open", refuse)
    assert harness("predict", "a", "--from-scores", "--data", drawn_root) == EXIT_DONE
    assert refused == [store.FOLDER_LOCK]


def test_a_run_that_takes_its_place_before_its_answer_has_a_name_gets_no_answer_of_it(
    place: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []

    def interrupted() -> None:
        if not codes:
            codes.append(EXIT_DONE)
            codes[0] = harness("import", outside(drawn_root, "val", "test"), "--data", drawn_root, "--fresh")

    # Asked when all rows are known.
    monkeypatch.setattr(provenance, "git_commit", interrupted)
    assert harness("predict", "a", "--from-scores", "--data", drawn_root) == EXIT_DATA
    assert codes == [EXIT_DONE]
    assert "the run 'a' was rewritten while its answer was made" in capsys.readouterr().err
    assert not Path("submissions").exists()


def test_no_run_takes_its_place_while_its_answer_is_written(
    place: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, codes = Run(Path("runs/a")).manifest, []

    def interrupted(*arguments: Any) -> None:
        codes.append(harness("import", outside(drawn_root, "val", "test"), "--data", drawn_root, "--fresh"))
        build(*arguments)

    monkeypatch.setattr(from_run, "build", interrupted)
    assert harness("predict", "a", "--from-scores", "--data", drawn_root) == EXIT_DONE
    assert codes == [EXIT_DATA]
    assert "the run 'a' is being written by another process" in capsys.readouterr().err
    assert Run(Path("runs/a")).manifest == before
    # Afterwards it can be replaced again.
    assert harness("import", "outside.npz", "--data", drawn_root, "--fresh") == EXIT_DONE


@pytest.mark.parametrize("meanwhile", ["nothing is there", "half of another answer is read"])
def test_an_answer_that_another_process_replaces_while_it_is_checked_is_checked_anew(
    place: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], meanwhile: str
) -> None:
    check, directory, looks = checks.check, Path("submissions/a"), []

    def interrupted(*arguments: Any) -> Verdict:
        looks.append(directory.is_dir())
        if len(looks) > 1:
            return check(*arguments)
        other = directory.rename("aside")
        try:
            if meanwhile != "nothing is there":
                shutil.copytree(other, directory)
                track = next((directory / "tracks").iterdir())
                track.write_bytes(track.read_bytes()[:-3])
            return check(*arguments)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            shutil.copytree(other, directory)

    monkeypatch.setattr(checks, "check", interrupted)
    assert harness("predict", "a", "--from-scores", "--data", drawn_root) == EXIT_DONE
    assert looks == [True, True]
    assert "0 errors" in capsys.readouterr().err
