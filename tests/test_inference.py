"""Scoring: resumable, sharded, exact, and never a number that is not one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from harness import files
from harness.cli import harness
from harness.data.scan import scan
from harness.data.tracks import Track
from harness.errors import DataError, LockedError
from harness.images.batches import ImageBatch
from harness.images.decode import decode
from harness.images.transforms import prepare_test
from harness.inference import score
from harness.inference.network import load_network, recipe_of
from harness.inference.predict import predict
from harness.inference.score import ImageScorer
from harness.inference.settings import Scoring
from harness.inference.split import ScoredSplit
from harness.recipes.recipe import Recipe
from harness.runs import checkpoints, scores
from harness.runs.checkpoints import Checkpoint
from harness.runs.store import Run
from models.classifier import Classifier
from tests.data_roots import age
from tests.earlier_checkpoints import forget_settings
from tests.simulated_runs import tracks_of

Predict = Callable[..., ScoredSplit]


@pytest.fixture
def place(trained: Path, drawn_root: Path, tmp_path: Path) -> Path:
    """A working folder of this test with the trained run `a` and its own copy of the data."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    shutil.copytree(drawn_root, tmp_path / "data", copy_function=shutil.copy2)
    shutil.rmtree(tmp_path / "runs" / "a" / "scores")
    return tmp_path


@pytest.fixture
def again(place: Path) -> Predict:
    """Predicts with the run of this test; keywords change the defaults."""

    def call(split: str = "test", lines: list[str] | None = None, **changes: Any) -> ScoredSplit:
        run, root = Run(place / "runs" / "a"), scan(place / "data", use_cache=False)
        return predict(run, root, split, Scoring(**{"batch": 16, **changes}), (lines if lines is not None else []).append)

    return call


def stored(place: Path, split: str = "test") -> dict[str, str]:
    """The sha256 of every file of a score set but the records, which hold times of files."""
    folder = place / "runs" / "a" / "scores" / split
    return {
        path.name: files.sha256(path) for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")
    }


def count_forward_passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []
    plain = Classifier.forward

    def counting(self: Classifier, images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return plain(self, images)

    monkeypatch.setattr(Classifier, "forward", counting)
    return sizes


def test_every_seen_frame_is_scored_as_a_slow_loop_does(place: Path, again: Predict) -> None:
    again()
    run = Run(place / "runs" / "a")
    recipe = recipe_of(run)
    checkpoint = checkpoints.choose(run, "last", print)
    network = load_network(run, recipe, checkpoint).eval()
    for track in scan(place / "data").split("test"):
        found = scores.read_track(run, "test", track.name)
        np.testing.assert_array_equal(found.frame, track.frames)
        for position, frame in enumerate(track.frames.tolist()[:5]):
            pixels = decode(track.image_path(frame).read_bytes(), 32)
            image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
            with torch.no_grad():
                logits = network(prepare_test(image, 32, 32, network.backbone.mean, network.backbone.std))[0]
            np.testing.assert_allclose(found.score[position], logits.numpy(), atol=1e-5)


def test_every_forward_pass_has_the_same_size(again: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = count_forward_passes(monkeypatch)
    again()
    assert set(sizes) == {16}


def test_unchanged_scores_cost_no_forward_pass(place: Path, again: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    again()
    before = stored(place)
    sizes = count_forward_passes(monkeypatch)
    summary = again()
    assert (summary.scored, summary.kept, sizes) == (0, 4, [])
    assert stored(place) == before


def first_track(place: Path) -> Track:
    return next(track for track in scan(place / "data").split("test") if len(track.frames) > 5)


def test_a_changed_image_is_noticed_and_only_its_track_redone(place: Path, again: Predict) -> None:
    again()
    track = first_track(place)
    paths = [track.image_path(int(frame)) for frame in track.frames[:2]]
    paths[0].write_bytes(paths[1].read_bytes())
    summary = again()
    assert (summary.scored, summary.kept) == (1, 3)


def test_a_touched_but_equal_image_is_not_scored_again(place: Path, again: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    again()
    track = first_track(place)
    os.utime(track.image_path(int(track.frames[0])), ns=(1, 1))
    sizes = count_forward_passes(monkeypatch)
    assert again().scored == 0
    assert sizes == []


def other_bytes(path: Path) -> None:
    """Changes an image but neither its size nor its time of modification."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(bytes(data))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_change_that_keeps_size_and_time_of_modification_is_found(place: Path, again: Predict) -> None:
    again()
    track = first_track(place)
    other_bytes(track.image_path(int(track.frames[0])))
    assert again().scored == 1
    assert again().scored == 0


def test_verify_compares_bytes_even_where_names_sizes_and_times_are_those_of_the_record(
    place: Path, again: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageScorer, "stamp", lambda self, track: "as it was")
    again()
    track = first_track(place)
    other_bytes(track.image_path(int(track.frames[0])))
    assert (again().scored, again(verify=True).scored, again(verify=True).scored) == (0, 1, 0)
    other_bytes(track.image_path(int(track.frames[0])))
    monkeypatch.chdir(place)
    words = ["predict", "a", "--data", "data", "--workers", "0", "--batch", "16"]
    outputs = [CliRunner().invoke(harness, [*words, *more]).output for more in ([], ["--verify"])]
    assert ["scores of 0 tracks made, 4 unchanged" in output for output in outputs] == [True, False]
    assert "scores of 1 track made, 3 unchanged" in outputs[1]


def test_verify_reads_the_images_and_not_packed_crops_that_differ_from_them(place: Path, again: Predict) -> None:
    age(place / "data")
    assert CliRunner().invoke(harness, ["doctor", str(place / "data"), "--pack"]).exit_code == 0
    again()
    track = first_track(place)
    other_bytes(track.image_path(int(track.frames[0])))
    lines: list[str] = []
    assert (again(lines=lines).scored, again(lines=lines, verify=True).scored) == (0, 1)
    assert [line for line in lines if f"the packed crops of {track.name} no longer matched its images" in line]
    assert again(lines=lines, verify=True).scored == 0


def test_an_image_replaced_after_it_was_read_is_said_and_scored_by_the_next_call(
    place: Path, again: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = first_track(place)
    plain = ImageScorer.produce

    def replacing(self: ImageScorer, tracks: Any) -> Any:
        for result in plain(self, tracks):
            if result.track.name == track.name:
                other_bytes(track.image_path(int(track.frames[0])))
            yield result

    monkeypatch.setattr(ImageScorer, "produce", replacing)
    lines: list[str] = []
    again(lines=lines)
    assert any(f"{track.name} changed while it was read" in line for line in lines)
    monkeypatch.setattr(ImageScorer, "produce", plain)
    assert again().scored == 1


def test_an_image_that_appears_or_goes_is_noticed(place: Path, again: Predict) -> None:
    again()
    track = first_track(place)
    track.image_path(int(track.frames[3])).unlink()
    assert again().scored == 1
    assert len(scores.read_track(Run(place / "runs" / "a"), "test", track.name).frame) == len(track.frames) - 1


@pytest.mark.parametrize("change", [{"batch": 8}, {"stride": 2}, {"checkpoint": "best"}, {"precision": "bf16"}])
def test_other_settings_are_noticed_and_redone(place: Path, again: Predict, change: dict[str, object]) -> None:
    again()
    run = Run(place / "runs" / "a")
    if change == {"checkpoint": "best"}:
        assert len(checkpoints.folders(run)) >= 1
        if len(checkpoints.folders(run)) == 1:
            checkpoints.write(run, 99, None, lambda folder: _copy_files(checkpoints.folders(run)[0], folder))
            assert again().scored == 4
    assert again(**change).scored == 4


def _copy_files(source: Path, target: Path) -> None:
    for path in source.iterdir():
        if path.name != checkpoints.MANIFEST:
            shutil.copy(path, target / path.name)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_change_no_byte(place: Path, again: Predict, workers: int) -> None:
    again()
    before = stored(place)
    shutil.rmtree(place / "runs" / "a" / "scores")
    again(workers=workers)
    assert stored(place) == before


def test_shards_change_no_byte_and_the_last_one_finishes(place: Path, again: Predict) -> None:
    again()
    before = stored(place)
    shutil.rmtree(place / "runs" / "a" / "scores")
    assert not again(shard="2/3").complete
    assert not again(shard="1/3").complete
    assert "scores.json" not in stored(place)
    assert again(shard="3/3").complete
    assert stored(place) == before


def test_two_processes_change_no_byte(place: Path, again: Predict) -> None:
    again(batch=64)
    before = stored(place)
    shutil.rmtree(place / "runs" / "a" / "scores")
    done = in_two_processes(place)
    assert done.returncode == 0, done.stderr
    assert "scoring with 2 processes" in done.stderr
    assert stored(place) == before


def test_another_forward_size_changes_the_last_bits_at_most(place: Path, again: Predict) -> None:
    again(batch=16)
    run = Run(place / "runs" / "a")
    before = {name: scores.read_track(run, "test", name).score for name in scores.read_index(run, "test").tracks}
    again(batch=7)
    for name, values in before.items():
        size = max(1.0, float(np.abs(values).max(initial=0)))
        np.testing.assert_allclose(scores.read_track(run, "test", name).score, values, atol=1e-6 * size)


def test_an_interrupted_prediction_keeps_the_finished_tracks(
    place: Path, again: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    again()
    before = stored(place)
    shutil.rmtree(place / "runs" / "a" / "scores")
    plain = ImageScorer._store
    count = 0

    def die(self: ImageScorer, *arguments: object) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        plain(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ImageScorer, "_store", die)
    with pytest.raises(KeyboardInterrupt):
        again()
    assert len(stored(place)) == 2
    monkeypatch.setattr(ImageScorer, "_store", plain)
    summary = again()
    assert (summary.scored, summary.kept) == (2, 2)
    assert stored(place) == before


def test_a_prediction_that_is_killed_leaves_no_part_of_a_file(place: Path, again: Predict) -> None:
    again(batch=64)
    before = stored(place)
    for moment in range(1, 6):
        shutil.rmtree(place / "runs" / "a" / "scores")
        command = [sys.executable, "-m", "harness", "predict", "a", "--data", "data", "--workers", "0"]
        killed = subprocess.run(
            command, cwd=place, env={**os.environ, "HARNESS_FAULT": f"rename:{moment}"}, capture_output=True, text=True
        )
        assert killed.returncode == -9
        for path in (place / "runs" / "a" / "scores" / "test").glob("*.npz"):
            assert before[path.name] == files.sha256(path)
        again(batch=64)
        assert stored(place) == before
        assert not list((place / "runs" / "a").rglob("*.tmp"))
        if moment == 2:
            break


def test_an_unreadable_image_is_missing_and_listed_and_strict_refuses(place: Path, again: Predict) -> None:
    track = first_track(place)
    path = track.image_path(int(track.frames[2]))
    path.write_bytes(b"not an image")
    lines: list[str] = []
    again(lines=lines)
    record = scores.read_index(Run(place / "runs" / "a"), "test").tracks[track.name]
    assert record.unreadable == (int(track.frames[2]),)
    assert any(str(path) in line and "counted as missing" in line for line in lines)
    with pytest.raises(DataError, match="cannot be read") as refusal:
        again(strict=True, batch=8)
    assert refusal.value.path == str(path)


def broken_images(place: Path) -> list[Path]:
    """An image of each of two tracks, which two processes share out between them, made unreadable."""
    tracks = [track for track in scan(place / "data").split("test") if len(track.frames) > 5][:2]
    paths = [track.image_path(int(track.frames[2])) for track in tracks]
    for path in paths:
        path.write_bytes(b"not an image")
    return paths


def test_images_that_an_earlier_call_could_not_read_are_listed_again_and_strict_refuses_them(
    place: Path, again: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = broken_images(place)
    again()
    lines: list[str] = []
    summary = again(lines=lines)
    assert summary.kept == 4
    assert sorted(summary.unreadable) == sorted(map(str, paths))
    assert "warning: 2 images could not be read" in lines
    sizes = count_forward_passes(monkeypatch)
    with pytest.raises(DataError, match="2 images of tracks that are scored could not be read") as refusal:
        again(strict=True)
    assert refusal.value.path in [str(path) for path in paths]
    assert sizes == []


def test_a_mended_image_is_scored_and_strict_is_content(place: Path, again: Predict) -> None:
    paths = broken_images(place)
    again()
    for path in paths:
        path.write_bytes(path.with_name(f"{int(path.stem) - 1:05d}.jpg").read_bytes())
    summary = again(strict=True)
    assert (summary.scored, summary.kept, summary.unreadable) == (2, 2, [])


def test_a_shard_lists_the_unreadable_images_of_the_others_too(place: Path, again: Predict) -> None:
    paths = broken_images(place)
    seen = [again(shard=f"{part}/2").unreadable for part in (1, 2)]
    assert all(len(paths) >= len(found) for found in seen)
    assert sorted(seen[1]) == sorted(map(str, paths))
    with pytest.raises(DataError, match="2 images of tracks that are scored"):
        again(shard="1/2", strict=True)


def in_two_processes(place: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "--", "harness"]
    command += ["predict", "a", "--data", "data", "--workers", "0", *options]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=300)


def test_two_processes_count_and_list_together_and_strict_refuses_in_both(place: Path) -> None:
    paths = broken_images(place)
    done = in_two_processes(place)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("test: scores of 4 tracks made, 0 unchanged") == 1
    assert "warning: 2 images could not be read" in done.stderr
    assert all(f"counted as missing: {path.relative_to(place)}" in done.stderr.replace(f"{place}/", "") for path in paths)
    assert "2 because the image could not be read" in done.stderr
    refused = in_two_processes(place, "--strict")
    assert refused.returncode != 0
    assert "could not be read" in refused.stderr


def test_logits_that_are_not_finite_are_named_and_not_stored(
    place: Path, again: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Classifier.forward

    def broken(self: Classifier, images: torch.Tensor) -> torch.Tensor:
        logits = plain(self, images)
        logits[3, 1] = float("nan")
        return logits

    monkeypatch.setattr(Classifier, "forward", broken)
    track = first_track(place)
    with pytest.raises(DataError, match=f"track {track.name}, frame {int(track.frames[3])}: the logits are not finite"):
        again()
    assert stored(place) == {}


def test_a_checkpoint_with_nan_weights_is_refused(place: Path, again: Predict) -> None:
    run = Run(place / "runs" / "a")
    newest = checkpoints.folders(run)[-1]

    def damaged(folder: Path) -> None:
        tensors = load_file(newest / "model.safetensors")
        tensors["head.fc.bias"][2] = float("nan")
        save_file(tensors, folder / "model.safetensors")

    checkpoints.write(run, 99, None, damaged)
    with pytest.raises(DataError, match=r"the weight 'head\.fc\.bias' of this checkpoint is not finite"):
        again()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"head": "spatial", "image_size": 96, "test_resize": 96}, "head.conv1"),
        ({"backbone": "torchvision:mobilenet_v3_small"}, "backbone.features"),
    ],
)
def test_weights_of_another_head_or_backbone_are_refused_by_name(
    place: Path, again: Predict, change: dict[str, str | int], says: str
) -> None:
    run = Run(place / "runs" / "a")
    manifest = files.read_json(run.manifest_path)
    files.write_json(run.manifest_path, {**manifest, "recipe": {**manifest["recipe"], **change}})
    with pytest.raises(DataError, match="trained with other settings"):
        again()
    forget_settings(run)
    with pytest.raises(DataError, match="weights are not those of the run's network") as refused:
        again()
    assert says in str(refused.value)
    assert not (place / "runs" / "a" / "scores").exists()


def test_weights_for_another_number_of_classes_are_refused(place: Path, again: Predict) -> None:
    run = Run(place / "runs" / "a")
    newest = checkpoints.folders(run)[-1]

    def seven(folder: Path) -> None:
        tensors = load_file(newest / "model.safetensors")
        save_file({**tensors, "head.fc.bias": tensors["head.fc.bias"][:7]}, folder / "model.safetensors")

    checkpoints.write(run, 99, None, seven)
    with pytest.raises(DataError, match=r"(?s)head\.fc\.bias.*\[7\]"):
        again()


def test_out_of_memory_halves_the_pass_with_the_same_labels(place: Path, again: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    again(batch=64)
    run = Run(place / "runs" / "a")
    before = {name: scores.read_track(run, "test", name).score for name in scores.read_index(run, "test").tracks}
    shutil.rmtree(place / "runs" / "a" / "scores")
    plain = Classifier.forward

    def small(self: Classifier, images: torch.Tensor) -> torch.Tensor:
        if len(images) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(self, images)

    monkeypatch.setattr(Classifier, "forward", small)
    lines: list[str] = []
    again(batch=64, lines=lines)
    assert any("16 images per forward pass" in line for line in lines)
    for name, values in before.items():
        found = scores.read_track(run, "test", name).score
        np.testing.assert_allclose(found, values, atol=1e-6 * max(1.0, float(np.abs(values).max(initial=0))))
        np.testing.assert_array_equal(found.argmax(axis=1), values.argmax(axis=1))


def test_a_stride_scores_every_nth_frame_and_the_last(place: Path, again: Predict) -> None:
    again(stride=5)
    run = Run(place / "runs" / "a")
    for track in scan(place / "data").split("test"):
        expected = sorted(set(track.frames[::5].tolist()) | set(track.frames[-1:].tolist()))
        assert scores.read_track(run, "test", track.name).frame.tolist() == expected
        assert scores.read_index(run, "test").tracks[track.name].skipped == len(track.frames) - len(expected)


def test_flipped_scores_are_those_of_mirrored_images(place: Path, again: Predict) -> None:
    again()
    again(flip=True)
    run = Run(place / "runs" / "a")
    name = first_track(place).name
    plain, flipped = (scores.read_track(run, split, name) for split in ("test", "test.flip"))
    np.testing.assert_array_equal(plain.frame, flipped.frame)
    assert not np.array_equal(plain.score, flipped.score)


def test_scores_of_a_track_that_went_are_removed(place: Path, again: Predict) -> None:
    again()
    stranger = place / "runs" / "a" / "scores" / "test" / "gone.npz"
    stranger.write_bytes(b"")
    again()
    assert not stranger.exists()


def test_a_locked_split_is_refused(place: Path, again: Predict) -> None:
    folder = place / "runs" / "a" / "scores" / "test"
    path = str(folder / ".lock-1-of-1-0")
    code = f"from harness import files\nwith files.lock({path!r}, 'x'):\n    print('held', flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        with pytest.raises(LockedError, match=f"process {holder.pid}"):
            again()
    finally:
        holder.kill()
        holder.wait()
        time.sleep(0)


def test_memory_of_batches_does_not_hold_the_split() -> None:
    # The collector keeps logits only until their track is complete.
    tracks = tracks_of([10, 0, 5])
    wanted = [score._Wanted(track, track.frames) for track in tracks]
    collector = score._Collector(wanted, 3, "logits")
    ends = np.cumsum([10, 0, 5])
    assert [item.track.name for item in collector.finished()] == []
    for first, last in ((0, 8), (8, 15)):
        requests = score._requests(wanted, ends, first, last)
        batch = ImageBatch(
            torch.zeros(last - first, 3, 1, 1, dtype=torch.uint8),
            torch.ones(last - first, dtype=torch.bool),
            torch.zeros(last - first, 32, dtype=torch.uint8),
            [],
        )
        values = np.arange(first, last, dtype=np.float32)[:, None].repeat(3, axis=1)
        collector.add(requests, values, batch)
        finished = {item.track.name: item.scores.score[:, 0].tolist() for item in collector.finished()}
        if last == 15:
            assert finished == {"t0": list(range(10)), "t1": [], "t2": list(range(10, 15))}
    assert collector.waiting == 0


def test_a_half_trained_run_is_predicted_with_one_warning(place: Path, again: Predict) -> None:
    said: list[str] = []
    again(lines=said)
    again(checkpoint="best", lines=said)
    assert not [line for line in said if "not finished" in line]
    manifest = place / "runs" / "a" / "run.json"
    manifest.write_text(manifest.read_text().replace('"iterations": 12', '"iterations": 30'))
    forget_settings(Run(place / "runs" / "a"))
    again(lines=said)
    again(flip=True, lines=said)
    assert [line for line in said if "not finished" in line] == [
        "warning: the training of a is not finished: its last checkpoint is of step 12 of 30"
    ]


def test_a_checkpoint_that_a_training_removes_meanwhile_is_chosen_again(
    place: Path, again: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place / "runs" / "a" / "checkpoints"
    shutil.copytree(folder / "step-00000012", place / "newer")
    shutil.rmtree(folder / "step-00000006", ignore_errors=True)
    loads: list[Path] = []

    def rotating(run: Run, recipe: Recipe, checkpoint: Checkpoint) -> Classifier:
        loads.append(checkpoint.path)
        if len(loads) == 1:
            shutil.copytree(place / "newer", folder / "step-00000016")
            shutil.rmtree(checkpoint.path)
        return load_network(run, recipe, checkpoint)

    monkeypatch.setattr("harness.inference.predict.load_network", rotating)
    assert again().complete
    assert [path.name for path in loads] == ["step-00000012", "step-00000016"]


def test_a_checkpoint_that_cannot_be_loaded_is_tried_once(place: Path, again: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[Path] = []

    def failing(run: Run, recipe: Recipe, checkpoint: Checkpoint) -> Classifier:
        tries.append(checkpoint.path)
        raise DataError("not this one")

    monkeypatch.setattr("harness.inference.predict.load_network", failing)
    with pytest.raises(DataError, match="not this one"):
        again()
    assert len(tries) == 1


@pytest.mark.parametrize("kind", ["ensemble", "import"])
def test_a_run_without_a_network_says_what_it_is_and_which_runs_have_one(place: Path, again: Predict, kind: str) -> None:
    manifest = place / "runs" / "a" / "run.json"
    manifest.write_text(manifest.read_text().replace('"kind": "training"', f'"kind": "{kind}"'))
    with pytest.raises(DataError) as refused:
        again()
    assert f"is of kind {kind!r} and has no network of its own" in str(refused.value)
    assert refused.value.remedy == "name a run of a training: `harness runs` lists them"
