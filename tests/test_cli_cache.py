"""harness doctor --pack: packs, packs again what changed, verifies, removes."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import files
from harness.cli import main
from harness.data.packed import folder_of_packed
from harness.data.places import FOLDER
from harness.data.scan import scan
from harness.errors import EXIT_DATA, EXIT_DONE
from tests.data_roots import age, make_root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_root(tmp_path / "root", image=lambda name, frame: name.encode() * frame)
    age(root)
    return root


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["doctor", "--pack", *map(str, arguments)])
    return int(caught.value.code or 0)


def test_tracks_are_packed_kept_compared_and_removed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root) == EXIT_DONE
    assert capsys.readouterr().out.startswith("11 tracks packed")
    assert run(root) == EXIT_DONE
    assert capsys.readouterr().out.startswith("11 tracks kept")
    assert run(root, "--verify") == EXIT_DONE
    assert capsys.readouterr().out.startswith("11 tracks compared")
    assert sum(track.packed is not None for track in scan(root).tracks) == 11
    assert run(root, "--remove") == EXIT_DONE
    assert all(track.packed is None for track in scan(root).tracks)
    assert "images are read one by one" in capsys.readouterr().out


def test_two_commands_do_not_pack_one_root_at_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root) == EXIT_DONE
    with files.lock(folder_of_packed(root, "cropped_aligned") / ".lock", "it"):
        for more in ((), ("--remove",)):
            assert run(root, *more) == EXIT_DATA
            assert "is being written by another process" in capsys.readouterr().err
    assert len(list((root / FOLDER).rglob("*.crops"))) == 11


def test_a_root_without_crops_is_no_success_and_leaves_what_is_packed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root) == EXIT_DONE
    packed = sorted((root / FOLDER).rglob("*.crops"))
    (root / "cropped_aligned").rename(root / "elsewhere")
    capsys.readouterr()
    assert run(root) == EXIT_DATA
    assert "there is no folder of face crops with this name" in capsys.readouterr().err
    assert sorted((root / FOLDER).rglob("*.crops")) == packed


def test_crops_without_any_image_are_no_success(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (root / "cropped_aligned").rglob("*.jpg"):
        path.unlink()
    assert run(root) == EXIT_DATA
    assert "no track has an image" in capsys.readouterr().err


def test_a_root_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "nowhere") == EXIT_DATA
    assert "nowhere" in capsys.readouterr().err
