"""The light package: installed as a wheel, without torch, pandas or scikit-learn, it serves a team that uses nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.challenge import format_of
from tests.installation import done, run, wheel

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "torchvision", "pandas", "sklearn", "scipy", "accelerate", "PIL", "matplotlib")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new virtual environment with nothing but the wheel and what it requires."""
    place = tmp_path_factory.mktemp("wheel")
    built = wheel(place)
    done(sys.executable, "-m", "venv", place / "venv", cwd=place)
    done(place / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", built, cwd=place)
    return place / "venv" / "bin"


@pytest.mark.slow
def test_a_foreign_team_validates_its_file_with_the_light_package(installed: Path, tmp_path: Path) -> None:
    there = done(
        installed / "python", "-c", f"import importlib.util as u; print([n for n in {HEAVY} if u.find_spec(n)])", cwd=tmp_path
    )
    assert there.strip() == "[]"
    header = format_of("EXPR", 5).header
    images = [f"video{track}/{frame:05d}.jpg" for track in (1, 2) for frame in range(1, 101)]
    sample = tmp_path / "CVPR_5th_ABAW_EXPR_test_set_sample.txt"
    sample.write_text("\n".join([header, *(image + "," for image in images)]) + "\n")
    rows = [f"{image},{number // 30 % 8}" for number, image in enumerate(images)]
    (tmp_path / "predictions.txt").write_text("\n".join([header, *rows]) + "\n")
    printed = done(installed / "harness", "validate", "predictions.txt", "--sample", sample.name, cwd=tmp_path)
    assert "2 tracks, 200 rows: 0 errors, 0 warnings" in printed
    (tmp_path / "broken_predictions.txt").write_text("\n".join([f'"{header}"', *rows[:50], *rows[51:]]) + "\n")
    ended = run(installed / "harness", "validate", "broken_predictions.txt", "--sample", sample.name, cwd=tmp_path)
    assert ended.returncode == 1
    assert "HEADER_QUOTED" in ended.stdout
    assert "broken_predictions.txt:52  expected video1/00051.jpg" in ended.stdout


@pytest.mark.slow
def test_the_light_package_packs_compares_and_lists_its_codes(installed: Path, tmp_path: Path) -> None:
    form = format_of("VA", 6)
    for name, value in (("one", 0.5), ("two", 0.25)):
        rows = [f"v/{frame:05d}.jpg,{value},-0.125" for frame in range(1, 20)]
        (tmp_path / name).mkdir()
        (tmp_path / name / "predictions.txt").write_text("\n".join([form.header, *rows]) + "\n")
    assert "sha256 " in done(installed / "harness", "pack", "one", cwd=tmp_path)
    assert "19 of 19 rows differ" in done(installed / "harness", "compare", "one", "two", "--changes", cwd=tmp_path)
    assert "VALUE_RANGE (error)" in done(installed / "harness", "validate", "--list-codes", cwd=tmp_path)


@pytest.mark.slow
def test_the_light_package_shows_a_track_as_text_and_names_what_a_picture_needs(installed: Path, tmp_path: Path) -> None:
    form = format_of("EXPR", 6)
    rows = [f"v/{frame:05d}.jpg,{label}" for frame, label in enumerate((0, 0, 4, 4, 7), 1)]
    (tmp_path / "predictions.txt").write_text("\n".join([form.header, *rows]) + "\n")
    printed = done(installed / "harness", "inspect", "predictions.txt", "v", cwd=tmp_path)
    assert "NNHHO" in printed
    ended = run(installed / "harness", "inspect", "predictions.txt", "v", "--out", "v.png", cwd=tmp_path)
    assert ended.returncode == 3
    assert "abaw-harness[report]" in ended.stderr
    assert "Traceback" not in ended.stderr
