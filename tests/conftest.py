"""What tests share: the way to the real data, and a network that answers nobody."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

# Two test processes with two threads each would wait for one another on two cores. Set before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# The user's own cache folder stays as it is.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="harness-test-cache-")

import pytest
from hypothesis import settings

# No test measures time: on a busy machine any example may take long.
settings.register_profile("harness", deadline=None)
settings.load_profile("harness")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real faces and clips; skips without HARNESS_REAL_DATA, but on CI its absence is a failure."""
    place = os.environ.get("HARNESS_REAL_DATA")
    if place and Path(place).is_dir():
        return Path(place).resolve()
    if os.environ.get("CI") == "true":
        pytest.fail("HARNESS_REAL_DATA must name the folder of real data on CI")
    pytest.skip("HARNESS_REAL_DATA does not name the folder of real data")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here may speak to another machine: only local addresses answer."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else "local"
        if self.family != socket.AF_UNIX and host not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address!r}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture(scope="session")
def drawn_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data root of drawn faces; made once, never changed by a test."""
    from harness.demo.drawn import write_drawn_root

    return write_drawn_root(tmp_path_factory.mktemp("data") / "drawn")


TINY = {
    "backbone": "torchvision:shufflenet_v2_x0_5",
    "head": "pooled",
    "freeze_stages": "0",
    "decode_size": "32",
    "image_size": "32",
    "test_resize": "32",
    "frame_step": "2",
    "batch": "8",
    "iterations": "12",
    "learning_rate": "0.05",
    "warmup": "3",
    "evaluate_every": "6",
    "checkpoint_every": "4",
    "precision": "fp32",
    "weights_wanted": "''",
}
"""Recipe changes that make a training take a second; they go on top of any recipe."""


@pytest.fixture(scope="session")
def tiny() -> dict[str, str]:
    """Recipe changes for a training of a second or two."""
    return dict(TINY)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, drawn_root: Path) -> Path:
    """A working folder with a trained and predicted tiny run `a`; copy it before changing anything."""
    from harness.data.scan import scan
    from harness.inference.predict import predict
    from harness.inference.settings import Scoring
    from harness.recipes import recipe as recipes
    from harness.runs.store import Run
    from harness.training.start import train

    place = tmp_path_factory.mktemp("trained")
    root = scan(drawn_root)
    recipe = recipes.load("res18", TINY)

    def silent(line: str) -> None:
        """Says nothing."""

    train(recipe, root, place / "runs" / "a", fresh=False, workers=0, from_scratch=False, say=silent)
    for split in ("val", "test"):
        predict(Run(place / "runs" / "a"), root, split, Scoring(batch=16), silent)
    return place
