"""requirements.lock: every package that requirements.txt brings, at one version with the sha256 of its file, for one platform.

    python benchmarks/locking.py --write requirements.lock     asks pip what it would install here, and writes it down
    python benchmarks/locking.py --fits requirements.lock      exit code 0 if the lock is of this platform and of requirements.txt

Nothing is installed by either, and nothing beyond the standard library is needed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"


def main() -> None:
    """Writes a lock, or says whether there is one that fits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--write", type=Path, metavar="LOCK")
    chosen.add_argument("--fits", type=Path, metavar="LOCK")
    options = parser.parse_args()
    if options.write is not None:
        options.write.write_text("\n".join([*header(REQUIREMENTS), *locked(resolve(REQUIREMENTS))]) + "\n")
        return
    there = options.fits.read_text().splitlines() if options.fits.is_file() else []
    sys.exit(0 if there[:2] == header(REQUIREMENTS) else 1)


def header(requirements: Path) -> list[str]:
    """The first lines of a lock: the platform it was made for, and which requirements it answers."""
    version = ".".join(platform.python_version_tuple()[:2])
    return [
        f"# {platform.system()} {platform.machine()}, {platform.python_implementation()} {version}",
        f"# requirements.txt {hashlib.sha256(requirements.read_bytes()).hexdigest()}",
    ]


def resolve(requirements: Path) -> dict[str, object]:
    """What pip would install into an empty environment of this interpreter, as its report says."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        subprocess.run([*command, "--report", str(report), "--requirement", str(requirements)], check=True)
        answer: dict[str, object] = json.loads(report.read_text())
    return answer


def locked(report: dict[str, object]) -> Sequence[str]:
    """A line for each package of a report of pip: name, version and sha256, in the order of their names.

    Raises ValueError for a package whose file has no sha256.
    """
    lines = []
    entries = report["install"]
    assert isinstance(entries, list)
    for entry in entries:
        name, version = entry["metadata"]["name"].lower().replace("_", "-"), entry["metadata"]["version"]
        digest = entry["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
        if digest is None:
            raise ValueError(f"{name} {version} comes without a sha256")
        lines.append(f"{name}=={version} --hash=sha256:{digest}")
    return sorted(lines)


if __name__ == "__main__":
    main()
