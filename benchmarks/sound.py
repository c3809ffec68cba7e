"""What sound adds to faces on the embedded data set: face alone, face and voice, face and the voice of another recording.

    python benchmarks/sound.py --work sound

Five data sets of other performances of the same people, one training seed each: the model of each arm learns from the 24 people
of the training split and is scored on the 16 others (validation and test). Printed are macro-F1 and accuracy over the frames
without a face and over the others, and the differences to face alone with 95 % intervals over recordings (jackknife of the pooled
counts). What is done is kept: an interrupted campaign goes on where it stopped. It demonstrates the chain, and claims nothing
about Aff-Wild2.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.data.scan import scan
from harness.data.tracks import Track
from harness.evaluation.intervals import difference_interval, jackknife
from harness.kinds.confusion import confusion
from harness.kinds.f1 import macro_f1

SEEDS = range(5)
CLASSES = 8
ARMS = {"face": ("faces",), "face and voice": ("faces", "voice"), "face and another's voice": ("faces", "shuffled")}
SETTINGS = ("--set", "iterations=300", "--set", "evaluate_every=300", "--set", "checkpoint_every=300")


def main() -> None:
    """Makes what is missing, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("sound"), help="folder of data and runs [default: sound]")
    parser.add_argument("--recipe", default="av-gate", help="recipe on features [default: av-gate]")
    options = parser.parse_args()
    work = files.make_directory(options.work).resolve()
    counts = [_counts_of_seed(work, seed, options.recipe) for seed in SEEDS]
    print("\n".join(table(np.concatenate(counts))))


def _counts_of_seed(work: Path, seed: int, recipe: str) -> NDArray[np.int64]:
    """Confusion matrices (recordings, arms, without a face or with, C, C) of the unseen people of one data set."""
    place = files.make_directory(work / str(seed))
    kept = place / f"counts-{recipe}.npy"
    if kept.is_file():
        counts: NDArray[np.int64] = np.load(kept, allow_pickle=False)
        return counts
    _prepare(place, seed)
    for number, sets in enumerate(ARMS.values()):
        run = f"{recipe}-{number}"
        chosen = [word for name in sets for word in ("--features", name)]
        run_harness(place, "train", "--recipe", recipe, "--data", "data", *chosen, "--run", run, "--seed", str(seed), *SETTINGS)
        run_harness(place, "predict", run, "--split", "test", "--data", "data")
        run_harness(place, "predict", run, "--split", "val", "--data", "data")
        run_harness(place, "predict", run, "--from-scores", "--split", "val", "--data", "data", "--out", f"submissions/{run}-val")
    counts = _score(place, recipe)
    buffer = io.BytesIO()
    np.save(buffer, counts, allow_pickle=False)
    files.write_bytes(kept, buffer.getvalue())
    return counts


def _prepare(place: Path, seed: int) -> None:
    """The data set, features of its faces by a frozen ImageNet backbone, its voices, and the same in another order."""
    run_harness(place, "demo-data", "--out", "data", "--seed", str(seed), "--videos")
    run_harness(place, "train", "--recipe", "lite0-frozen", "--data", "data", "--run", "faces", "--set", "iterations=20")
    run_harness(place, "features", "faces", "--data", "data")
    run_harness(place, "audio", "data", "--videos", "data/videos", "--run", "voice")
    shuffled = files.make_directory(place / "shuffled")
    films = sorted((place / "data" / "videos").glob("*.mkv"))
    order = np.random.default_rng(seed).permutation(len(films)).tolist()
    for number, other in zip(order, np.roll(order, 1).tolist(), strict=True):
        files.write_bytes(shuffled / films[number].name, films[other].read_bytes())
    run_harness(place, "audio", "data", "--videos", "shuffled", "--run", "shuffled")


def _score(place: Path, recipe: str) -> NDArray[np.int64]:
    tracks = [track for track in scan(place / "data").tracks if track.split in ("val", "test")]
    recordings = list(dict.fromkeys(track.recording for track in tracks))
    counts = np.zeros((len(recordings), len(ARMS), 2, CLASSES, CLASSES), dtype=np.int64)
    for track in tracks:
        labels = _read(_labels_of(place / "data", track))
        seen = np.isin(np.arange(1, track.rows + 1), track.frames)
        for arm in range(len(ARMS)):
            folder = f"{recipe}-{arm}" + ("-val" if track.split == "val" else "")
            predicted = _read(place / "submissions" / folder / "tracks" / f"{track.name}.txt")
            for part, mask in enumerate((~seen, seen)):
                counts[recordings.index(track.recording), arm, part] += confusion(labels[mask], predicted[mask], CLASSES)
    return counts


def _labels_of(data: Path, track: Track) -> Path:
    return track.annotation if track.annotation is not None else data / "test_labels" / f"{track.name}.txt"


def _read(path: Path) -> NDArray[np.int8]:
    return np.array(path.read_text().splitlines()[1:], dtype=np.int8)


def table(counts: NDArray[np.int64]) -> list[str]:
    """The lines of the table of counts (recordings, arms, 2, C, C)."""
    lines = [
        "| frames | arm | labelled | macro-F1 | accuracy | macro-F1, less face alone | accuracy, less face alone |",
        "|" + "---|" * 7,
    ]
    for part, name in enumerate(("without a face", "with a face")):
        own = counts[:, :, part]
        own = own[own.sum(axis=(1, 2, 3)) > 0]
        total = own.sum(axis=0)
        for arm, arm_name in enumerate(ARMS):
            cells = [name, arm_name, f"{total[arm].sum():,}", f"{macro_f1(total[arm]):.3f}", f"{accuracy(total[arm]):.3f}"]
            cells += ["", ""] if arm == 0 else [difference(own[:, [0, arm]], measure) for measure in (macro_f1, accuracy)]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def accuracy(matrix: NDArray) -> NDArray[np.float64]:
    correct = np.trace(matrix, axis1=-2, axis2=-1)
    result: NDArray[np.float64] = correct / np.maximum(matrix.sum(axis=(-2, -1)), 1)
    return result


def difference(pairs: NDArray[np.int64], measure: Callable[[NDArray], NDArray[np.float64]]) -> str:
    """The difference of two arms' counts (recordings, 2, C, C), with its interval over recordings."""
    result = jackknife(pairs, lambda sums: measure(sums[..., 1, :, :]) - measure(sums[..., 0, :, :]))
    interval = difference_interval(result)
    return f"{float(result.estimate):+.3f} [{float(interval.low):+.3f}, {float(interval.high):+.3f}]"


def run_harness(place: Path, *arguments: str) -> None:
    """Runs a command in the folder of a data set."""
    subprocess.run([sys.executable, "-m", "harness", *arguments], cwd=place, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
