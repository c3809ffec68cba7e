"""What differs between validation and test without labels is found with its figure, and what does not is left in peace."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray
from PIL import Image

from harness.challenge import AU, VA, Challenge
from harness.data.scan import scan
from harness.data.tracks import DataRoot
from harness.errors import EXIT_DONE
from harness.selection.drift import drift, drift_of_run
from tests.command_line import harness
from tests.data_roots import Made, make_root
from tests.simulated_challenges import drawn_root, run_of, seen
from tests.simulated_runs import noisy_run


def recordings(count: int, seed: int) -> NDArray[np.float64]:
    """Skewed columns (R, 4) that hang together, one of them the same everywhere."""
    generator = np.random.default_rng(seed)
    shared = generator.exponential(size=(count, 1))
    return np.hstack([shared + generator.exponential(size=(count, 3)) * (1, 0.1, 3), np.ones((count, 1))])


def test_splits_of_one_kind_give_a_finding_in_one_of_twenty_cases() -> None:
    names = ["a", "b", "c", "constant"]
    alarms = sum(bool(drift(names, recordings(14, 2 * seed), recordings(25, 2 * seed + 1))) for seed in range(150))
    assert alarms <= scipy.stats.binom.ppf(0.999, 150, 0.05)


def test_a_single_figure_is_tested_as_scipy_tests_it_and_told_beside_halves() -> None:
    here, there = recordings(20, 1)[:, :1], recordings(30, 2)[:, :1] + 1.0
    (found,) = drift(["light"], here, there)
    assert found.here == pytest.approx(here.mean())
    assert found.there == pytest.approx(there.mean())

    def apart(one: NDArray, other: NDArray) -> float:
        return float(abs(one.mean() - other.mean()))

    expected = scipy.stats.permutation_test((here[:, 0], there[:, 0]), apart, n_resamples=4000, rng=1, alternative="greater")
    assert found.p_value == pytest.approx(expected.pvalue, abs=4 * np.sqrt(0.05 / 2000))
    generator = np.random.default_rng(3)
    orders = [generator.permutation(20) for _ in range(4000)]
    halves = np.quantile([apart(here[order[:10]], here[order[10:]]) for order in orders], 0.95)
    assert found.halves == pytest.approx(halves, rel=0.1)


def crop(brightness: int, side: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (side, side), brightness).save(buffer, "JPEG")
    return buffer.getvalue()


def photographed(place: Path, light: int, side: int, missing: int) -> DataRoot:
    """Eight recordings of val, alike, and of test with images of that light and side, so many of whose frames are missing."""
    generator = np.random.default_rng(0)
    made = []
    for number in range(16):
        split, rows = ("val", "test")[number % 2], 20
        lost = missing if split == "test" else 0
        frames = [frame for frame in range(1, rows + 1) if frame > lost + generator.integers(0, 2)]
        made.append(Made(f"video{number}", split, generator.integers(0, 8, rows).tolist(), frames))
    tests = {one.name for one in made if one.split == "test"}

    def image(name: str, frame: int) -> bytes:
        other = name in tests
        return crop((light if other else 120) + int(generator.integers(-4, 5)), side if other else 112)

    make_root(place, made, image=image)
    return scan(place, use_cache=False)


def test_missing_faces_and_the_size_and_light_of_images_are_told_by_the_verbs_that_expect_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    root = photographed(tmp_path / "root", light=60, side=64, missing=8)
    noisy_run(root, Path("runs/a"), 2.0, splits=("val", "test"))
    said = {}
    for arguments in (("evaluate", "a", "--smooth", "0"), ("submission", "a"), ("pack", "submissions/a"), ("best", "a")):
        capsys.readouterr()
        assert harness(*arguments) == EXIT_DONE
        said[arguments[0]] = capsys.readouterr().out
    for verb in ("evaluate", "pack", "best"):
        for what in (
            "the share of frames without a face",
            "the size of the face images in pixels: 64 in",
            "the brightness of the face",
        ):
            assert f"warning: test differs from val in {what}" in said[verb], verb
        assert "halves of val differ by" in said[verb]


def test_equal_images_are_left_in_peace(tmp_path: Path) -> None:
    root = photographed(tmp_path / "root", light=120, side=112, missing=0)
    found = drift_of_run(noisy_run(root, tmp_path / "runs" / "a", 2.0, splits=("val", "test")), root)
    # The answers differ: those of such a run to unlabelled frames are Neutral.
    assert [one.what for one in found] == ["the share of answers Neutral"]


@pytest.mark.parametrize(("challenge", "what"), [(VA, "the mean valence of the answers"), (AU, "the share of answers AU1")])
def test_answers_of_every_challenge_are_compared(challenge: Challenge, what: str, tmp_path: Path) -> None:
    val, test = (drawn_root(tmp_path, challenge, seed=seed, active=active) for seed, active in ((0, 0.1), (1, 0.9)))
    tracks = [replace(one, name=f"test-{one.name}", recording=f"test-{one.name}", split="test") for one in test.split("val")]
    for one in tracks:
        assert one.labels is not None
        if challenge is VA:
            one.labels[:, 0] = np.minimum(one.labels[:, 0] + 0.8, 0.9)
    root = replace(val, tracks=(*val.split("val"), *tracks))
    run = run_of(root, tmp_path / "run", seen(0.3), splits=("val", "test"))
    found = drift_of_run(run, root)
    assert what in [one.what for one in found]
    assert all(one.p_value <= 0.05 for one in found)
    # A split that is not scored says nothing.
    assert drift_of_run(run_of(root, tmp_path / "other", seen(0.3)), root) == []
