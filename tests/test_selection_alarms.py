"""Alarms: each planted leak and copy is found, and twenty honest runs are left in peace."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score

from harness.challenge import AU, EXPR, MTL, VA, Challenge, Field
from harness.data.tracks import DataRoot
from harness.errors import EXIT_DONE
from harness.runs import scores
from harness.runs.store import Run
from harness.selection.alarms import StoredAnswers, agreement, alarms
from harness.selection.ensemble import Member, ensemble
from tests.command_line import harness
from tests.score_files import record_as_it_is
from tests.simulated_challenges import drawn_root, run_of, seen
from tests.simulated_runs import labelled_root, noisy_run

SPLITS = ("train", "val", "test")
NOISE = {"EXPR": 1.2, "VA": 0.7, "AU": 3.0, "MTL": 1.5}


def three_splits(place: Path, challenge: Challenge, recordings: int = 16) -> DataRoot:
    """A root with labels of all three splits."""
    tracks = []
    for seed, split in enumerate(SPLITS):
        for track in drawn_root(place, challenge, recordings, seed).split("val"):
            tracks.append(replace(track, name=f"{split}-{track.name}", recording=f"{split}-{track.name}", split=split))
    return DataRoot(place, tuple(tracks), challenge=challenge)


def unlabelled_test(root: DataRoot) -> DataRoot:
    """The same without labels of test, as everybody has it."""
    return replace(root, tracks=tuple(replace(one, labels=None) if one.split == "test" else one for one in root.tracks))


def honest(root: DataRoot, path: Path, seed: int, noise: float | None = None) -> Run:
    """A run that errs more on some recordings than on others, and that learned from train."""
    usual = NOISE[root.challenge.name] if noise is None else noise

    def moody(field: Field, labels: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
        return seen(usual * float(np.exp(0.3 * generator.standard_normal())))(field, labels, generator)

    run = run_of(root, path, moody, seed, SPLITS)
    run.manifest_path.write_text(run.manifest_path.read_text().replace('"seed"', '"data": {"splits": ["train"]},\n  "seed"'))
    return Run(path)


def learned(run: Run, root: DataRoot, path: Path, split: str, share: float) -> Run:
    """A copy of a run that knows the labels of so large a share of a split's recordings."""
    sure = run_of(root, path, seen(0.0), 99, SPLITS)
    for name in SPLITS:
        index = scores.read_index(run, name)
        known = list(index.tracks)[: round(share * len(index.tracks))] if name == split else []
        said = {track: scores.read_track(sure if track in known else run, name, track) for track in index.tracks}
        rows = {track: (record.rows, record.rows_from) for track, record in index.tracks.items()}
        scores.write_split(sure, name, said, rows, "logits", {})
    sure.manifest_path.write_text(run.manifest_path.read_text())
    return Run(path)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataRoot]:
    return {one.name: three_splits(tmp_path_factory.mktemp(one.name), one) for one in (EXPR, VA, AU, MTL)}


@pytest.mark.parametrize("name", ["EXPR", "VA", "AU", "MTL"])
def test_five_honest_runs_of_a_challenge_raise_no_alarm(roots: dict[str, DataRoot], name: str, tmp_path: Path) -> None:
    runs = [honest(roots[name], tmp_path / f"run{seed}", seed) for seed in range(5)]
    assert alarms(runs, unlabelled_test(roots[name]), "val") == []
    assert alarms(runs[:1], roots[name], "test") == []


def found(runs: Sequence[Run], root: DataRoot, words: str, split: str = "val") -> bool:
    return any(words in line for line in alarms(runs, root, split))


@pytest.mark.parametrize("name", ["EXPR", "VA", "AU", "MTL"])
def test_a_run_that_learned_three_fifths_of_validation_is_found(roots: dict[str, DataRoot], name: str, tmp_path: Path) -> None:
    root = unlabelled_test(roots[name])
    run, other = honest(roots[name], tmp_path / "honest", 0), honest(roots[name], tmp_path / "other", 1)
    leaked = learned(run, roots[name], tmp_path / "leaked", "val", 0.6)
    assert found([leaked], root, "leaked scores higher on val than on train")
    assert found([leaked], root, "leaked is as good as exact in ")
    assert found([run, leaked], root, "honest and leaked agree on ")
    assert not found([other], root, "other")


def test_a_run_that_learned_test_is_found_by_its_labels_and_by_another_run(roots: dict[str, DataRoot], tmp_path: Path) -> None:
    root = roots["EXPR"]
    run, other = honest(root, tmp_path / "honest", 0), honest(root, tmp_path / "other", 1)
    leaked = learned(run, root, tmp_path / "leaked", "test", 1.0)
    assert found([leaked], root, "leaked scores higher on test than on val", "test")
    assert found([leaked, other], unlabelled_test(root), "leaked and other agree on ")
    # With hardly any recording of train there is still validation to compare test with.
    few_of_train = replace(root, tracks=(*root.split("train")[:3], *root.split("val"), *root.split("test")))
    assert found([leaked], few_of_train, "leaked scores higher on test than on val", "test")


def test_of_two_unseen_splits_each_is_compared_though_the_other_has_too_few_recordings(tmp_path: Path) -> None:
    root = three_splits(tmp_path, EXPR, recordings=6)
    for seed, name in enumerate(("a", "b")):
        run_of(root, tmp_path / name, seen(1.5), seed, ("train",))
        run_of(root, tmp_path / name, seen(0.0), seed, ("val", "test"))
    pair = [Run(tmp_path / name) for name in ("a", "b")]
    for few, enough in (("val", "test"), ("test", "val")):
        tracks = (*root.split("train"), *root.split(few)[:3], *root.split(enough))
        (line,) = alarms(pair, replace(root, tracks=tracks), "train")
        assert line.startswith("a and b agree on ")
        assert line.endswith(f" of train and on 100.0 % of {enough}: one of them may know labels of one of the two")


def test_copies_among_members_of_an_ensemble_are_found(roots: dict[str, DataRoot], tmp_path: Path) -> None:
    root = unlabelled_test(roots["VA"])
    run, other = honest(roots["VA"], tmp_path / "honest", 0), honest(roots["VA"], tmp_path / "other", 1)
    copy = learned(run, roots["VA"], tmp_path / "copy", "val", 0.0)
    both, _ = ensemble([Member(one) for one in (run, other, copy)], tmp_path / "both", union=False, fresh=False)
    lines = alarms([both], root, "val")
    assert lines == ["honest and copy give the same answers on val: to average them adds nothing"]


@pytest.mark.parametrize(("name", "noise"), [("EXPR", 0.1), ("VA", 0.05), ("AU", 0.3), ("MTL", 0.1)])
def test_scores_far_beyond_what_anybody_reported_are_doubted_but_on_the_embedded_set(
    tmp_path: Path, name: str, noise: float
) -> None:
    challenge = {one.name: one for one in (EXPR, VA, AU, MTL)}[name]
    root = three_splits(tmp_path, challenge, recordings=6)
    for track in root.tracks if name == "EXPR" else ():
        assert track.labels is not None
        track.labels[:] = np.repeat(np.random.default_rng(0).integers(0, 8, 9), 20)
    run = honest(root, tmp_path / "run", 0, noise)
    assert found([run], root, "the highest that was reported on validation is ")
    assert not found([run], replace(root, embedded=True), "reported")


def test_agreement_is_the_share_of_frames_with_the_same_class(roots: dict[str, DataRoot], tmp_path: Path) -> None:
    root = roots["EXPR"]
    first, second = (StoredAnswers(honest(root, tmp_path / f"run{seed}", seed), root) for seed in (0, 1))
    said = [[one.of("val", track.name).answers[:, 0] for track in root.split("val")] for one in (first, second)]
    expected = accuracy_score(*(np.concatenate(one) for one in said))
    agreed = agreement(first, second, "val")
    assert agreed is not None
    assert float(agreed.estimate) == pytest.approx(expected)


def test_too_few_recordings_say_nothing(tmp_path: Path) -> None:
    root = three_splits(tmp_path, EXPR, recordings=4)
    run = learned(honest(root, tmp_path / "honest", 0), root, tmp_path / "leaked", "val", 1.0)
    assert alarms([run], root, "val") == []


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """All that a verb prints."""
    capsys.readouterr()
    assert harness(*arguments) == EXIT_DONE
    return "".join(capsys.readouterr())


def test_the_verbs_that_choose_and_send_say_what_is_alarming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    root = labelled_root(tmp_path / "root", recordings=24, rate=None, seen=1.0)
    run = noisy_run(root, Path("runs") / "a", 3.0, splits=("val", "test"))
    index = scores.read_index(run, "val")
    noisy_run(root, Path("runs") / "known", 0.01, splits=("val", "test"))
    for name in list(index.tracks)[:8]:
        shutil.copy(f"runs/known/scores/val/{name}.npz", f"runs/a/scores/val/{name}.npz")
        record_as_it_is(run, "val", name)
    noisy_run(root, Path("runs") / "b", 3.0, seed=1, splits=("val", "test"))
    noisy_run(root, Path("runs") / "b-again", 3.0, seed=2, splits=("val", "test"))
    alarm = "ALARM: a is as good as exact in "
    assert alarm in said(capsys, "evaluate", "a")
    assert alarm in said(capsys, "compare", "b", "a")
    assert "alarms" in json.loads(printed_alone(capsys, "evaluate", "a", "--json"))
    assert "alarms" not in json.loads(printed_alone(capsys, "compare", "b", "b-again", "--json"))
    assert alarm in said(capsys, "ensemble", "a", "b", "--fit", "val", "--run", "both")
    assert alarm in said(capsys, "pack", "submissions/both")
    monkeypatch.setattr("harness.selection.candidates.CandidateMaker.candidates", lambda maker: [maker.single()])
    assert alarm in said(capsys, "best", "a", "b", "--most", "1")
    (listed,) = json.loads(printed_alone(capsys, "best", "a", "b", "--most", "1", "--json"))["alarms"]
    assert listed.startswith("a is as good as exact in 8 of 12 recordings of val and errs in the others")
    assert "ALARM" not in said(capsys, "best", "b", "--most", "1")


def printed_alone(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a verb prints as its result."""
    capsys.readouterr()
    assert harness(*arguments) == EXIT_DONE
    return capsys.readouterr().out
