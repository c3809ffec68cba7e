"""Checkpoints as versions wrote them that did not name the settings of their run in them."""

from __future__ import annotations

from harness import files
from harness.runs import checkpoints
from harness.runs.store import Run


def forget_settings(run: Run) -> None:
    """Takes the digest of the settings out of each checkpoint's manifest: who has changed run.json by hand is not found out."""
    for folder in checkpoints.folders(run):
        path = folder / checkpoints.MANIFEST
        manifest = {key: value for key, value in files.read_json(path).items() if key not in ("settings", checkpoints.SEAL)}
        seal = files.sha256_of_bytes(files.json_text(manifest).encode())
        files.write_json(path, {**manifest, checkpoints.SEAL: seal})
