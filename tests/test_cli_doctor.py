"""harness doctor: the page, the JSON, and the exit code."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.demo.drawn import write_drawn_root
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_FINDINGS, EXIT_USAGE
from tests.data_roots import age, make_root
from tests.test_data_doctor import image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "root", image=image)


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["doctor", *map(str, arguments)])
    return int(caught.value.code or 0)


def test_warnings_end_with_zero_and_say_what_is_next(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root) == EXIT_DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("0 errors")
    assert "harness train" in lines[-1]
    assert len(lines) < 90


def test_the_challenge_is_asked_for_where_the_root_holds_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_drawn_root(tmp_path / "root", tracks=(2, 2, 1), rows=20, other_challenges=True)
    assert run(root, "--no-images") == EXIT_USAGE
    assert "holds AU, EXPR, MTL and VA" in capsys.readouterr().err
    assert run(root, "--no-images", "--challenge", "VA") == EXIT_DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{root}, challenge: VA, crops: cropped_aligned"
    assert lines[-1].endswith(f"harness train --data {root} --challenge VA --weights FILE")


def test_errors_end_with_one_and_name_the_place(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = next(root.rglob("Train_Set/video2.txt"))
    path.write_text(path.read_text() + "9\n")
    (root / "cropped_aligned/101/00002.jpg").write_bytes(b"")
    assert run(root) == EXIT_FINDINGS
    printed = capsys.readouterr().out
    assert f"{path}:7" in printed
    assert "00002.jpg" in printed
    assert "2 errors" in printed.splitlines()[-1]


def test_json_is_one_object_and_nothing_else(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, "--json") == EXIT_DONE
    report = json.loads(capsys.readouterr().out)
    assert report["errors"] == 0
    assert [row["split"] for row in report["splits"]] == ["train", "val", "test"]


def test_images_are_decoded_as_training_does(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = root / "cropped_aligned/101/00002.jpg"
    data = image.read_bytes()
    image.write_bytes(data[:-2] + bytes(20) + data[-2:])
    assert run(root, "--no-decode") == EXIT_DONE
    assert " read without decoding on " in capsys.readouterr().out
    assert run(root) == EXIT_FINDINGS
    printed = capsys.readouterr().out
    assert " decoded on " in printed
    assert f"{image}  found not a whole JPEG file" in printed


def test_without_the_packages_images_are_read_and_not_decoded(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    monkeypatch.delitem(sys.modules, "harness.images.decode", raising=False)
    assert run(root) == EXIT_DONE
    assert " read without decoding on " in capsys.readouterr().out
    assert run(root, "--decode") == EXIT_DATA
    assert "simplejpeg" in capsys.readouterr().err


def test_names_alone_are_read_without_images(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "cropped_aligned/101/00002.jpg").write_bytes(b"")
    assert run(root, "--no-images") == EXIT_DONE
    assert "images: not read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nowhere"], EXIT_DATA),
        (["--nothing"], EXIT_USAGE),
        ([], EXIT_USAGE),
        ([".", "--videos", "nowhere"], EXIT_DATA),
        ([".", "--crops", "nowhere"], EXIT_DATA),
    ],
)
def test_what_cannot_be_looked_at_ends_with_its_exit_code(
    root: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    assert run(*arguments) == code
    assert "Traceback" not in capsys.readouterr().err


def test_names_that_are_no_text_are_named_in_text_and_json(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkdir(os.fsencode(root / "cropped_aligned") + b"/bad\xff")
    os.mkdir(os.fsencode(root / "cropped_aligned") + b"/bad\xfe_left")
    labels = next(root.rglob("Train_Set"))
    Path(os.fsdecode(os.fsencode(labels) + b"/bad\xfe_left.txt")).write_bytes(next(labels.glob("video2.txt")).read_bytes())
    age(root)
    for _ in range(2):
        assert run(root, "--json") == EXIT_FINDINGS
        report = json.loads(capsys.readouterr().out)
        assert report["counts"]["UNSAFE_NAME"] == 1
        assert run(root) == EXIT_FINDINGS
        assert "bad\\udcff" in capsys.readouterr().out.encode("utf-8").decode()


def test_a_hostile_name_does_not_reach_the_terminal_as_it_is(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "cropped_aligned/\x1b]0;owned\x07").mkdir()
    run(root)
    assert "\x1b" not in capsys.readouterr().out
