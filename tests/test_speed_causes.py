"""Why the harness is fast, as facts that do not depend on the machine: what is not imported, read, computed or kept."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from harness import files
from harness.data.scan import scan
from harness.data.tracks import every_nth
from harness.demo.drawn import write_drawn_root
from harness.errors import DataError
from harness.images import transforms
from harness.images.batches import ImageRequest, read_batch
from harness.images.transforms import Augmentation, CentreResize, augment, prepare_test
from harness.inference.score import one_behind
from models import classifier

GENERATOR = np.random.default_rng(0)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
HEAVY = {"torch", "torchvision", "pandas", "scipy", "sklearn", "PIL", "matplotlib", "accelerate"}


# start-up


@pytest.mark.parametrize("arguments", [["--help"], ["validate", "--help"], ["predict", "--help"], ["runs"], ["recipes"]])
def test_a_light_command_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = "import sys; from harness.cli import main; "
    code += "import atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); main(sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not HEAVY & {name.partition(".")[0] for name in done.stderr.split()}


def test_who_validates_waits_for_no_recipe_and_no_data_root(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("track,rows\nanna,2\n")
    (tmp_path / "answer.txt").write_text("image_location,Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other\n"
                                         "anna/00001.jpg,0\nanna/00002.jpg,4\n")  # fmt: skip
    code = "import sys; from harness.cli import main; "
    code += "import atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); main(sys.argv[1:])"
    asked = ["validate", "answer.txt", "--rows", "rows.csv"]
    done = subprocess.run([sys.executable, "-c", code, *asked], cwd=tmp_path, capture_output=True, text=True)
    assert "1 row" in done.stdout or "2 rows" in done.stdout, done.stdout
    loaded = set(done.stderr.split())
    assert not {"yaml", "harness.recipes", "harness.data.scan", "importlib.metadata", *HEAVY} & loaded


def test_an_accelerator_repeats_itself_bit_for_bit_without_waiting_for_a_compiler() -> None:
    code = (
        "import sys, torch; from harness.images.device import make_accelerator; make_accelerator('fp32');"
        "print(torch.are_deterministic_algorithms_enabled(), 'torch._inductor' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


# reading


def test_reading_a_small_file_never_asks_for_more_than_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(b"x" * 4000)
    asked: list[int] = []
    plain = builtins.open

    class Spy:
        def __init__(self, handle: Any) -> None:
            self.handle = handle

        def __enter__(self) -> Spy:
            return self

        def __exit__(self, *error: object) -> None:
            self.handle.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.handle, name)

        def read(self, size: int) -> Any:
            asked.append(size)
            return self.handle.read(size)

    monkeypatch.setattr(builtins, "open", lambda *rest, **named: Spy(plain(*rest, **named)))
    assert files.read_bytes(path, 32 * 1024 * 1024) == b"x" * 4000
    assert max(asked) <= 4001


def test_a_file_that_does_not_know_its_size_is_read_whole_and_its_limit_kept() -> None:
    # The system says such a file has 0 bytes.
    path = Path("/proc/self/status")
    assert path.stat().st_size == 0
    assert files.read_bytes(path, 1024 * 1024).startswith(b"Name:")
    with pytest.raises(DataError, match="too large"):
        files.read_bytes(path, 10)


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """How often folders are listed, and files looked at or opened, through Python."""
    counts: dict[str, int] = {}
    with monkeypatch.context() as patch:
        for module, name in ((os, "stat"), (os, "listdir"), (os, "open"), (os, "scandir"), (builtins, "open")):
            plain = getattr(module, name)

            def spy(*rest: Any, plain: Any = plain, key: str = f"{module.__name__}.{name}", **named: Any) -> Any:
                counts[key] = counts.get(key, 0) + 1
                return plain(*rest, **named)

            patch.setattr(module, name, spy)
        yield counts


def test_a_scan_opens_and_looks_at_things_in_proportion_to_its_tracks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    totals = []
    # The first scan of a user also makes the key of his caches.
    scan(write_drawn_root(tmp_path / "first", tracks=(1, 1, 1), rows=4), use_cache=False)
    for number in (3, 5, 7):
        root = write_drawn_root(tmp_path / str(number), tracks=(number, number, number), rows=4)
        with counted(monkeypatch) as counts:
            scan(root, use_cache=False)
        totals.append(counts)
    for key in totals[0]:
        first, second = totals[1][key] - totals[0][key], totals[2][key] - totals[1][key]
        # Two more tracks in each split cost as much the second time as the first.
        assert first == second, key
        assert first <= 6 * 4, key


def test_a_scan_looks_at_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    totals = []
    for rows in (5, 40):
        root = write_drawn_root(tmp_path / str(rows), rows=rows)
        with counted(monkeypatch) as counts:
            scan(root, use_cache=False)
        totals.append(counts)
    assert totals[0] == totals[1]


def test_pixels_stay_bytes_until_the_device(drawn_root: Path) -> None:
    track = next(track for track in scan(drawn_root).tracks if len(track.frames) > 3)
    batch = read_batch([ImageRequest(track, int(frame)) for frame in track.frames[:3]], 112)
    assert batch.images.dtype == torch.uint8
    assert batch.images.is_contiguous(memory_format=torch.channels_last)


# between decoding and the network


@pytest.mark.parametrize(("side", "resized", "wanted"), [(24, 32, 20), (24, 31, 20), (30, 17, 16), (7, 40, 40), (1, 5, 3)])
def test_resizing_the_centre_is_resizing_all_and_cutting_it_out(side: int, resized: int, wanted: int) -> None:
    images = torch.from_numpy(GENERATOR.random((3, side, side, 3), dtype=np.float32))
    expected = F.interpolate(images.permute(0, 3, 1, 2), size=(resized, resized), mode="bilinear", align_corners=False)
    first = (resized - wanted) // 2
    expected = expected[:, :, first : first + wanted, first : first + wanted].permute(0, 2, 3, 1)
    torch.testing.assert_close(CentreResize(side, resized, wanted, images.device)(images), expected, atol=1e-5, rtol=0)


IMAGES = torch.from_numpy(GENERATOR.integers(0, 256, (7, 24, 24, 3), dtype=np.uint8)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("together", [1, 2, 3, 7, 100])
def test_how_many_images_are_prepared_together_changes_no_bit(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    uniforms = torch.from_numpy(GENERATOR.random((7, transforms.UNIFORMS), dtype=np.float32))
    settings = Augmentation(20, (0.6, 1.0), 0.5, 10, 0.2, 0.4, 0.5, 0.9)
    prepared, augmented = prepare_test(IMAGES, 20, 32, MEAN, STD), augment(IMAGES, uniforms, settings, MEAN, STD)
    monkeypatch.setattr(transforms, "CACHED_IMAGES", together)
    assert torch.equal(prepare_test(IMAGES, 20, 32, MEAN, STD), prepared)
    assert torch.equal(augment(IMAGES, uniforms, settings, MEAN, STD), augmented)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_shorter_input_is_the_long_one_rounded_once(dtype: torch.dtype) -> None:
    short = prepare_test(IMAGES, 20, 32, MEAN, STD, dtype=dtype)
    assert torch.equal(short, prepare_test(IMAGES, 20, 32, MEAN, STD).to(dtype))
    assert short.is_contiguous(memory_format=torch.channels_last)


# the network


@pytest.mark.parametrize("stages", [0, 1, 2, 4])
def test_frozen_stages_record_nothing_for_a_backward_pass(stages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network = classifier.build("res18", "pooled", 8, seed=0, image_size=32).train()
    network.freeze(stages)
    recorded: list[bool] = []
    plain = type(network.backbone).run_stage

    def spy(self: Any, stage: str, features: Tensor) -> Tensor:
        output = plain(self, stage, features)
        recorded.append(output.grad_fn is not None)
        return output

    monkeypatch.setattr(type(network.backbone), "run_stage", spy)
    loss = network(torch.randn(2, 3, 32, 32)).sum()
    assert recorded == [False] * stages + [True] * (4 - stages)
    loss.backward()
    frozen = {name for name, value in network.named_parameters() if value.grad is None}
    assert bool(frozen) == (stages > 0)
    assert all(name.startswith("backbone.") for name in frozen)


def test_precision_is_resolved_once_and_stored_for_every_split(trained: Path, tmp_path: Path) -> None:
    run = files.read_json(trained / "runs" / "a" / "run.json")
    assert run["recipe"]["precision"] in ("fp32", "bf16", "fp16")
    for split in ("val", "test"):
        index = files.read_json(trained / "runs" / "a" / "scores" / split / "scores.json")
        assert index["settings"]["precision"] == run["recipe"]["precision"]


def test_auto_is_what_the_machine_says_when_the_run_is_made_and_not_when_it_predicts(
    drawn_root: Path, tmp_path: Path, tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.recipes import recipe as recipes
    from harness.training import session, start

    def silent(line: str) -> None:
        """Says nothing."""

    monkeypatch.setattr(session, "resolve_precision", lambda asked: "bf16" if asked == "auto" else asked)
    recipe = recipes.load("res18", {**tiny, "precision": "auto", "iterations": "1"})
    training = start.train(
        recipe, scan(drawn_root), tmp_path / "runs" / "b", fresh=False, workers=0, from_scratch=False, say=silent
    )
    assert training.run.manifest["recipe"]["precision"] == "bf16"


# the device is kept busy


def test_each_batch_is_fetched_when_the_next_was_started() -> None:
    events: list[str] = []

    def started() -> Iterator[int]:
        for number in range(3):
            events.append(f"start {number}")
            yield number

    for number in one_behind(started()):
        events.append(f"fetch {number}")
    assert events == ["start 0", "start 1", "fetch 0", "start 2", "fetch 1", "fetch 2"]


@pytest.mark.parametrize("count", [0, 1, 2, 9, 10, 11])
def test_every_nth_frame_and_the_last(count: int) -> None:
    frames = np.arange(count, dtype=np.int32) * 3 + 1
    expected = [int(frame) for place, frame in enumerate(frames) if place % 5 == 0 or place == count - 1]
    assert every_nth(frames, 5).tolist() == expected


@pytest.mark.parametrize(
    ("cores", "gpu", "expected"), [(1, False, 0), (2, False, 0), (2, True, 1), (4, False, 3), (64, False, 8), (64, True, 8)]
)
def test_two_cores_without_a_gpu_are_left_to_the_network(
    cores: int, gpu: bool, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.commands.shared.options import worker_count

    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert worker_count(None) == expected
    assert worker_count(5) == 5


# memory


def test_a_split_is_evaluated_without_keeping_its_probabilities() -> None:
    from harness.challenge import EXPR
    from harness.evaluation.predictions import ScoredTrack
    from harness.kinds.parts import parts_of

    track = ScoredTrack("a", "a", np.zeros(50, np.int8), np.zeros(50, np.int8), np.ones(50, bool))
    track = track.decoded(np.zeros(50, np.int8), GENERATOR.dirichlet(np.ones(8), 50), parts_of(EXPR))
    kept = [value for value in vars(track).values() if isinstance(value, np.ndarray)]
    assert sum(value.nbytes for value in kept) == 3 * 50


@pytest.mark.parametrize("recordings", [6, 40])
def test_swaps_tried_in_blocks_are_the_swaps_tried_together(recordings: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.evaluation import compare
    from tests.compared import compare as compared

    first = GENERATOR.integers(0, 9, (recordings, 4, 4))
    second = first[:, :, ::-1]
    results = []
    for together in (10_000, 500, 7):
        monkeypatch.setattr(compare, "SWAPS_AT_ONCE", together)
        result = compared(first, second, seed=5)
        results.append((result.p_value, result.column_p_value.tolist()))
    assert results[0] == results[1] == results[2]
