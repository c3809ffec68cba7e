"""requirements.lock: exact files, taken on the platform it was made on alone, and only while it answers requirements.txt."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.locking import header, locked

ROOT = Path(__file__).resolve().parent.parent


def _entry(name: str, version: str, **info: object) -> dict[str, object]:
    return {"metadata": {"name": name, "version": version}, "download_info": info}


def test_every_package_stands_once_with_its_version_and_digest() -> None:
    report: dict[str, object] = {
        "install": [
            _entry("Pillow", "13.0.0", archive_info={"hashes": {"sha256": "b" * 64}}),
            _entry("ast_serialize", "1.0", archive_info={"hashes": {"sha256": "a" * 64}}),
        ]
    }
    assert locked(report) == [f"ast-serialize==1.0 --hash=sha256:{'a' * 64}", f"pillow==13.0.0 --hash=sha256:{'b' * 64}"]


def test_a_package_without_a_digest_is_refused() -> None:
    with pytest.raises(ValueError, match="comes without a sha256"):
        locked({"install": [_entry("own", "1.0", dir_info={})]})


def test_a_lock_fits_only_its_platform_and_its_requirements(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    head = header(ROOT / "requirements.txt")
    assert head[1].endswith(hashlib.sha256((ROOT / "requirements.txt").read_bytes()).hexdigest())
    for lines, fits in ((head, 0), (["# Plan9 mips, CPython 3.11", head[1]], 1), ([head[0], "# requirements.txt 0"], 1), ([], 1)):
        lock.write_text("\n".join(lines) + "\n")
        done = subprocess.run([sys.executable, ROOT / "benchmarks" / "locking.py", "--fits", lock], check=False)
        assert done.returncode == fits


def test_the_set_up_takes_a_lock_that_fits_with_its_digests() -> None:
    shown = subprocess.run(
        ["make", "--dry-run", "setup", "VENV=nowhere"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "locking.py --fits requirements.lock" in shown
    assert "--require-hashes --no-deps -r requirements.lock" in shown
