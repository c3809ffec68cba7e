"""Foreign submissions of which only the text exists: runs of votes, and the majority of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from harness.challenge import AU, EXPR, MTL, VA, Challenge
from harness.cli import main
from harness.data.tracks import DataRoot
from harness.errors import EXIT_DONE, DataError, MismatchError
from harness.kinds.parts import parts_of
from harness.postprocess.chain import PostProcessing
from harness.rows.predictions import RunPredictions
from harness.runs.own_sample import root_of_sample, sample_of_counts
from harness.selection.votes import import_votes
from harness.submission.build import build
from tests.simulated_challenges import drawn_root
from tests.simulated_runs import labelled_root


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataRoot:
    monkeypatch.chdir(tmp_path)
    return labelled_root(tmp_path / "root")


def classes_of_test(root: DataRoot, seed: int) -> list[tuple[str, np.ndarray]]:
    generator = np.random.default_rng(seed)
    return [(track.name, generator.integers(0, 3, track.rows).astype(np.int8)) for track in root.split("test")]


def test_an_ensemble_of_three_texts_is_their_majority(root: DataRoot, tmp_path: Path) -> None:
    made = [classes_of_test(root, seed) for seed in range(3)]
    for number, classes in enumerate(made):
        build(tmp_path / f"sent{number}", classes, EXPR, 5, None, {})
        with pytest.raises(SystemExit) as caught:
            main(["import", f"sent{number}", "--data", str(root.path)])
        assert (caught.value.code or 0) == EXIT_DONE
    with pytest.raises(SystemExit) as caught:
        main(["ensemble", "sent0", "sent1", "sent2", "--run", "majority"])
    assert (caught.value.code or 0) == EXIT_DONE
    # The frame rates are known, but a majority is not smoothed unless that is asked for.
    lines = (tmp_path / "submissions/majority/predictions.txt").read_text().splitlines()[1:]
    found = np.array([int(line.rsplit(",", 1)[1]) for line in lines])
    # Both take the smallest of classes that have equally many votes.
    expected = scipy.stats.mode(np.stack([classes[0][1] for classes in made]), axis=0).mode
    np.testing.assert_array_equal(found, expected)


def test_a_single_text_file_is_imported_too(root: DataRoot, tmp_path: Path) -> None:
    classes = classes_of_test(root, 1)
    build(tmp_path / "sent", classes, EXPR, 5, None, {})
    run, split = import_votes(tmp_path / "sent" / "predictions.txt", root, "friend", False)
    assert split == "test"
    prediction = next(iter(RunPredictions(run, "test", PostProcessing(seconds=0.0), root)))
    np.testing.assert_array_equal(prediction.classes, classes[0][1])
    assert not prediction.imputed.any()


def test_a_text_that_comes_with_a_sample_keeps_it_as_the_data_of_its_run(root: DataRoot, tmp_path: Path) -> None:
    build(tmp_path / "sent", classes_of_test(root, 1), EXPR, 5, None, {})
    sample = sample_of_counts({track.name: track.rows for track in root.split("test")}, EXPR)
    alone = root_of_sample(sample, EXPR, tmp_path / "sent")
    run, _ = import_votes(tmp_path / "sent" / "predictions.txt", alone, "friend", False, sample)
    place = Path(run.manifest["where"]["data"])
    assert place.is_relative_to(run.path.resolve())
    assert (place / sample.name).read_bytes() == sample.data


def test_a_text_of_other_rows_is_refused_with_both_counts(root: DataRoot, tmp_path: Path) -> None:
    build(tmp_path / "sent", [("video99", np.zeros(7, np.int8))], EXPR, 5, None, {})
    with pytest.raises(MismatchError, match=r"1 tracks, 7 rows(.|\n)*test: 1 tracks, 20 rows"):
        import_votes(tmp_path / "sent", root, "friend", False)


def test_a_text_with_errors_is_refused(root: DataRoot, tmp_path: Path) -> None:
    build(tmp_path / "sent", classes_of_test(root, 1), EXPR, 5, None, {})
    text = (tmp_path / "sent" / "predictions.txt").read_text().replace(",1\n", ",9\n", 1)
    (tmp_path / "predictions.txt").write_text(text)
    with pytest.raises(DataError):
        import_votes(tmp_path / "predictions.txt", root, "friend", False)


@pytest.mark.parametrize("challenge", [VA, AU, MTL])
def test_a_text_of_values_and_units_gives_back_its_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, challenge: Challenge
) -> None:
    monkeypatch.chdir(tmp_path)
    root = drawn_root(tmp_path, challenge, recordings=1)
    (track,) = root.split("test")
    answers = parts_of(challenge).answers(np.random.default_rng(0).uniform(0, 1, (track.rows, len(parts_of(challenge).columns))))
    build(tmp_path / "sent", [(track.name, answers)], challenge, None, None, {})
    run, split = import_votes(tmp_path / "sent", root, "friend", False)
    (prediction,) = RunPredictions(run, split, PostProcessing(seconds=0.0), root)
    np.testing.assert_allclose(prediction.classes, answers, atol=1e-6)
    with pytest.raises(DataError, match="another challenge"):
        import_votes(tmp_path / "sent", drawn_root(tmp_path, EXPR, recordings=1), "other", False)
