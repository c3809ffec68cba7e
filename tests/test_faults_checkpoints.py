"""Damage to checkpoints and folders that the campaign in benchmarks/faults.py found or would take long to find by chance."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import files
from harness.errors import DataError
from harness.runs import checkpoints
from harness.runs.store import Run


def test_no_bit_of_a_manifest_can_be_flipped_unseen(tmp_path: Path) -> None:
    run = Run(tmp_path / "a")
    checkpoints.write(run, 12, 0.3125, lambda place: files.write_bytes(place / "w", b"weights"))
    path = checkpoints.folders(run)[0] / checkpoints.MANIFEST
    whole = path.read_bytes()
    for position in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(DataError):
                checkpoints.verify(path.parent)
    path.write_bytes(whole)
    assert checkpoints.verify(path.parent).metric == 0.3125


def test_a_folder_is_there_at_every_moment_of_its_replacement(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with files.writing_directory(folder) as place:
        files.write_text(place / "a", "old")
    seen = []

    def look(stage: str) -> None:
        seen.append((stage, (folder / "a").read_text()))

    files.set_stage_hook(look)
    try:
        with files.writing_directory(folder) as place:
            files.write_text(place / "a", "new")
    finally:
        files.set_stage_hook(None)
    assert [text for stage, text in seen if stage.startswith("directory")] == ["old", "old", "new", "new"]
    assert os.listdir(tmp_path) == ["folder"]


def test_without_exchange_a_folder_is_replaced_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    for text in ("old", "new"):
        with files.writing_directory(tmp_path / "folder") as place:
            files.write_text(place / "a", text)
    assert (tmp_path / "folder" / "a").read_text() == "new"
    assert os.listdir(tmp_path) == ["folder"]


def test_two_processes_that_write_a_folder_at_once_both_end_well(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom harness import files\n"
        "for _ in range(60):\n"
        f"    with files.writing_directory({str(tmp_path / 'folder')!r}) as place:\n"
        "        files.write_bytes(place / 'a', b'x', sync=False)\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[1] for process in both] == ["", ""]
    assert os.listdir(tmp_path) == ["folder"]


def test_a_dead_writers_folder_is_removed_by_the_next_one_and_others_are_not(tmp_path: Path) -> None:
    program = (
        "from harness import files\n"
        "import os\n"
        f"with files.writing_directory({str(tmp_path / 'folder')!r}) as place:\n"
        "    files.write_text(place / 'a', 'half')\n"
        "    os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    (left,) = os.listdir(tmp_path)
    assert left.startswith(".folder.")
    with files.writing_directory(tmp_path / "other"):
        pass
    assert sorted(os.listdir(tmp_path)) == sorted([left, "other"])
    with files.writing_directory(tmp_path / "folder"):
        pass
    assert sorted(os.listdir(tmp_path)) == ["folder", "other"]
