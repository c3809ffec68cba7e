"""The campaign of faults: kills, full disks, flipped bytes, signals, other environments, many times over.

    python -m benchmarks.faults --sample full

Prints how many tries of each fault the harness survived and ends with exit code 1 if any was not. A killed or failed command is
run again, and what it leaves is compared byte for byte with what the same command leaves undisturbed.
"""

from __future__ import annotations

import argparse
import codecs
import errno
import functools
import io
import itertools
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import forked, together
from benchmarks.forked import Ended
from harness import errors, files
from harness.errors import DataError
from harness.runs import checkpoints, store
from harness.runs.checkpoints import Checkpoint
from harness.runs.scores import RECORDS
from harness.runs.store import Run

SEED = 0
STEPS = 48
STEPS_OF_SHORT = 12
# A training of a second: mid-epoch is everywhere, for a pass over the drawn faces is 8 steps and a checkpoint comes every 4.
RECIPE = {
    "backbone": "torchvision:shufflenet_v2_x0_5",
    "head": "pooled",
    "freeze_stages": "0",
    "decode_size": "32",
    "image_size": "32",
    "test_resize": "32",
    "frame_step": "2",
    "batch": "8",
    "learning_rate": "0.05",
    "warmup": "3",
    "evaluate_every": "6",
    "checkpoint_every": "4",
    "precision": "fp32",
    "weights_wanted": "''",
}
PRETRAINING = {
    "backbone": "torchvision:shufflenet_v2_x0_5",
    "decode_size": "32",
    "image_size": "32",
    "frame_step": "2",
    "hidden": "32",
    "queue": "64",
    "batch": "8",
    "iterations": "24",
    "warmup": "3",
    "checkpoint_every": "4",
    "precision": "fp32",
}
TEMPORAL = {
    "width": "16",
    "layers": "2",
    "heads": "2",
    "feedforward": "32",
    "window": "1",
    "hop": "0.5",
    "batch": "4",
    "iterations": "24",
    "warmup": "3",
    "evaluate_every": "6",
    "checkpoint_every": "4",
}
SIGNALS = ((signal.SIGTERM, errors.EXIT_TERMINATED), (signal.SIGINT, errors.EXIT_INTERRUPTED))
"""Signals that ask to stop, and the exit codes they lead to."""
PAGE = resource.getpagesize()

Tries = Iterator[str | None]
"""What was wrong with each try, None if it was survived."""


class Workshop:
    """Folders for the tries, and what commands leave there undisturbed.

    Attributes
    ----------
    data : a drawn data root.
    random : decides steps, moments and positions; seeded.
    """

    def __init__(self, path: Path, full: bool) -> None:
        from harness.demo.drawn import write_drawn_root

        self.path = path
        self.full = full
        self.random = np.random.default_rng(SEED)
        self.data = write_drawn_root(path / "data")
        self._count = 0

    def folder(self, like: Path | None = None) -> Path:
        """A new working folder, a copy of `like` if given."""
        self._count += 1
        place = self.path / f"try-{self._count}"
        if like is None:
            place.mkdir()
        else:
            shutil.copytree(like, place)
        return place

    def train(self, steps: int, workers: int = 0) -> list[str]:
        """Arguments that train the run `a`."""
        arguments = ["train", "--recipe", "res18", "--data", str(self.data), "--run", "a", "--from-scratch"]
        arguments += ["--workers", str(workers)]
        for key, value in {**RECIPE, "iterations": str(steps)}.items():
            arguments += ["--set", f"{key}={value}"]
        return arguments

    def pretrain(self, method: str, workers: int = 0) -> list[str]:
        """Arguments that pre-train the run `a`."""
        arguments = ["pretrain", "--method", method, "--data", str(self.data), "--run", "a", "--workers", str(workers)]
        for key, value in PRETRAINING.items():
            arguments += ["--set", f"{key}={value}"]
        return arguments

    def train_temporal(self, model: str, workers: int = 0) -> list[str]:
        """Arguments that train the run `t` on the features of the run `a`."""
        arguments = ["train", "--recipe", f"temporal-{model}", "--features", "a", "--data", str(self.data), "--run", "t"]
        arguments += ["--workers", str(workers)]
        for key, value in TEMPORAL.items():
            arguments += ["--set", f"{key}={value}"]
        return arguments

    def predict(self, workers: int = 0, split: str = "test", data: Path | None = None) -> list[str]:
        """Arguments that predict a split with the run `a`."""
        arguments = ["predict", "a", "--split", split, "--data", str(data or self.data), "--batch", "16"]
        return [*arguments, "--workers", str(workers)]

    def features(self) -> list[str]:
        """Arguments that store the features of the run `a`."""
        return ["features", "a", "--data", str(self.data), "--batch", "16", "--workers", "0"]

    def made(self, name: str, begun: Path | None, *commands: list[str]) -> Path:
        """A copy of `begun` in which these commands were run without any fault, made once; copy it before changing it."""
        place = self.path / name
        if not place.exists():
            if begun is None:
                place.mkdir()
            else:
                shutil.copytree(begun, place)
            for command in commands:
                _expect(forked.run(command, place))
        return place

    def trained(self, steps: int) -> Path:
        """A folder with the run `a` trained."""
        return self.made(f"trained-{steps}", None, self.train(steps))

    def featured(self) -> Path:
        """A folder with the short run `a` and its features."""
        return self.made("featured", self.trained(STEPS_OF_SHORT), self.features())

    def predicted(self) -> Path:
        """A folder with the short run `a` trained and predicted."""
        return self.made("predicted", self.trained(STEPS_OF_SHORT), self.predict())

    def validated(self) -> Path:
        """The same with the scores of the validation split."""
        return self.made("validated", self.predicted(), self.predict(split="val"))

    def remove(self, place: Path) -> None:
        """Removes the folder of a try."""
        shutil.rmtree(place)


def _expect(ended: Ended) -> None:
    fault = ended.fault(errors.EXIT_DONE)
    if fault:
        raise SystemExit(f"without any fault a command failed: {fault}")


@dataclass(frozen=True)
class Kind:
    """A kind of training.

    Attributes
    ----------
    command : its arguments with so many worker processes.
    steps : how many it takes.
    run : name of its run.
    begun : the folder it begins in, None for an empty one.
    wanted : a folder where it was done without any fault.
    """

    command: Callable[[int], list[str]]
    steps: int
    run: str
    begun: Path | None
    wanted: Path

    def saved(self, place: Path, skipped: Callable[[DataError], None] = lambda error: None) -> Checkpoint | None:
        """The newest whole checkpoint in the folder of a try; `skipped` is told of damaged ones."""
        return checkpoints.last(Run(place / "runs" / self.run), skipped)


Kinds = Callable[[Workshop], Sequence[Kind]]


def trainings(shop: Workshop, steps: int = STEPS_OF_SHORT) -> list[Kind]:
    """Training of a frame-wise model."""
    return [Kind(partial(shop.train, steps), steps, "a", None, shop.trained(steps))]


def pretrainings(shop: Workshop) -> list[Kind]:
    """Pre-training: with a method of pairs, and with one that keeps a moving average and a queue."""
    steps = int(PRETRAINING["iterations"])
    commands = {method: partial(shop.pretrain, method) for method in ("contrawarping", "moco")}
    return [
        Kind(command, steps, "a", None, shop.made(f"pretrained-{method}", None, command()))
        for method, command in commands.items()
    ]


def temporals(shop: Workshop) -> list[Kind]:
    """Temporal training on stored features, with each model."""
    steps, begun = int(TEMPORAL["iterations"]), shop.featured()
    commands = {model: partial(shop.train_temporal, model) for model in ("transformer", "tcn")}
    return [
        Kind(command, steps, "t", begun, shop.made(f"temporal-{model}", begun, command())) for model, command in commands.items()
    ]


def shared(tries: int, kinds: Sequence[Kind]) -> list[tuple[Kind, int]]:
    """How many of the tries each kind gets, the first ones one more if they do not divide."""
    return [(kind, (tries + len(kinds) - 1 - number) // len(kinds)) for number, kind in enumerate(kinds)]


def interrupted(shop: Workshop, kind: Kind) -> Path:
    """A folder where a training of this kind was killed in its fifth step, right after its first checkpoint."""
    place = shop.folder(kind.begun)
    ended = forked.run(kind.command(0), place, prepare=at_step(5, True, send(signal.SIGKILL)))
    if not ended.was_killed:
        raise SystemExit(f"a training was not killed: {ended.fault(-signal.SIGKILL)}")
    return place


def contents(place: Path) -> dict[str, str]:
    """The sha256 of every file that the commands left, but for logs of times, locks and records of the times of images."""
    return {
        str(path.relative_to(place)): _digest(path)
        for path in sorted(place.rglob("*"))
        if path.is_file() and (path.parent.name != RECORDS or path.name.endswith(".tmp")) and not _is_of_the_moment(path.name)
    }


def _is_of_the_moment(name: str) -> bool:
    """Whether a file differs from one time to the next: a log of times, or a lock, which names who was killed with it."""
    return name == "timings.jsonl" or (name.startswith(".") and (name.endswith(".lock") or name.startswith(".lock-")))


def _digest(path: Path) -> str:
    """The sha256 of a file; of a run's manifest without what depends on the machine or a commit made meanwhile."""
    if path.name != "run.json":
        return files.sha256(path)
    manifest = {key: value for key, value in files.read_json(path).items() if key not in store.NOT_COMPARED}
    return files.sha256_of_bytes(files.json_text(manifest).encode())


def difference(place: Path, wanted: Path) -> str | None:
    """What differs between two folders, temporary files left over included."""
    found, expected = contents(place), contents(wanted)
    names = [name for name in sorted(found.keys() | expected.keys()) if found.get(name) != expected.get(name)]
    return f"{len(names)} files differ: {', '.join(names[:5])}" if names else None


def first(*faults: str | None) -> str | None:
    """The first fault, None if there is none."""
    return next((fault for fault in faults if fault), None)


def moments(command: list[str], place: Path, first: Callable[[], None] | None = None) -> list[str]:
    """Every moment of a write in a command, in the form of HARNESS_FAULT: the stage and how often it came by then.

    `first` prepares the process, too.
    """
    log = place / "moments.txt"

    def note(stage: str) -> None:
        with open(log, "a") as handle:
            handle.write(f"{stage}\n")

    def prepare() -> None:
        files.set_stage_hook(note)
        if first is not None:
            first()

    _expect(forked.run(command, place, prepare=prepare))
    counts: dict[str, int] = {}
    found = []
    for stage in log.read_text().split():
        counts[stage] = counts.get(stage, 0) + 1
        found.append(f"{stage}:{counts[stage]}")
    log.unlink()
    return found


def spread(random: np.random.Generator, choices: list[str], count: int) -> list[str]:
    """`count` of the moments, the stages in turn and in an order drawn at random, as are the moments of a stage."""
    stages: dict[str, list[str]] = {}
    for choice in random.permutation(choices).tolist():
        stages.setdefault(choice.partition(":")[0], []).append(choice)
    order = random.permutation(sorted(stages)).tolist()
    return [stages[order[k % len(order)]][k // len(order) % len(stages[order[k % len(order)]])] for k in range(count)]


def at_step(step: int, before: bool, act: Callable[[], None]) -> Callable[[], None]:
    """Prepares a training to `act` in this step (1-based): before its batch is used, or when its weights have moved."""

    def prepare() -> None:
        from harness.training import loop

        name = "_step" if before else "_after_step"
        plain = getattr(loop.Trainer, name)

        def acting(self: Any, number: int, other: Any) -> None:
            if number + before == step:
                act()
            plain(self, number, other)

        setattr(loop.Trainer, name, acting)

    return prepare


def send(*numbers: int) -> Callable[[], None]:
    """Sends signals to the process that calls it."""

    def act() -> None:
        for number in numbers:
            os.kill(os.getpid(), number)

    return act


def kill_at_steps(shop: Workshop, tries: int, kinds: Kinds) -> Tries:
    """A training of each kind killed at many steps, with 0, 1 and 2 workers in turn, and compared at the end."""
    for kind, count in shared(tries, kinds(shop)):
        place = shop.folder(kind.begun)
        chosen = sorted((shop.random.choice(kind.steps - 1, count, replace=False) + 1).tolist())
        for number, step in enumerate(chosen):
            prepare = at_step(step, bool(shop.random.integers(2)), send(signal.SIGKILL))
            ended = forked.run(kind.command(number % 3), place, prepare=prepare)
            if not ended.was_killed:
                yield f"at step {step}: {ended.fault(-signal.SIGKILL)}"
            elif number + 1 < count:
                yield None
        yield first(forked.run(kind.command(2), place).fault(0), difference(place, kind.wanted))
        shop.remove(place)


def kill_training_for_real(shop: Workshop, tries: int) -> Tries:
    """`python -m harness train`, killed from outside at a random moment, then run again."""
    wanted = shop.trained(STEPS)
    for number in range(tries):
        place = shop.folder()
        command = [sys.executable, "-m", "harness", *shop.train(STEPS, number % 3)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not list(place.glob("runs/a/checkpoints/step-*")):
            time.sleep(0.02)
        time.sleep(float(shop.random.uniform(0, 2)))
        process.kill()
        process.wait()
        yield first(forked.run_for_real(shop.train(STEPS, 2 - number % 3), place).fault(0), difference(place, wanted))
        shop.remove(place)


def kill_saves(shop: Workshop, tries: int, kinds: Kinds) -> Tries:
    """Trainings that have a checkpoint, killed inside later saves, at every stage of a write."""
    for kind, count in shared(tries, kinds(shop)):
        begun = interrupted(shop, kind)
        for moment in spread(shop.random, moments(kind.command(0), shop.folder(begun)), count):
            place = shop.folder(begun)
            ended = forked.run(kind.command(0), place, {"HARNESS_FAULT": moment})
            skipped: list[DataError] = []
            kept = kind.saved(place, skipped.append)
            fault = first(
                None if ended.was_killed else ended.fault(-signal.SIGKILL),
                f"a damaged checkpoint is left: {skipped[0]}" if skipped else None,
                None if kept is not None and kept.step >= 4 else "no checkpoint is left",
                forked.run(kind.command(0), place).fault(0),
                difference(place, kind.wanted),
            )
            yield fault and f"at {moment}: {fault}"
            shop.remove(place)


def kill_prediction(shop: Workshop, tries: int) -> Tries:
    """Predictions killed at every stage of a write; finished tracks are kept, the result is the same."""
    base, wanted = shop.trained(STEPS_OF_SHORT), shop.predicted()
    whole = contents(wanted)
    for moment in spread(shop.random, moments(shop.predict(), shop.folder(base)), tries):
        place = shop.folder(base)
        ended = forked.run(shop.predict(), place, {"HARNESS_FAULT": moment})
        left = {name: digest for name, digest in contents(place).items() if not name.endswith(".tmp") and ".tmp/" not in name}
        partial = [name for name, digest in left.items() if whole.get(name) != digest]
        done = {path: path.stat().st_mtime_ns for path in place.glob("runs/a/scores/test/*.npz") if _recorded(path)}
        again = forked.run(shop.predict(), place)
        fault = first(
            None if ended.was_killed else ended.fault(-signal.SIGKILL),
            f"not whole: {partial[0]}" if partial else None,
            again.fault(0),
            None if all(path.stat().st_mtime_ns == then for path, then in done.items()) else "a finished track was done again",
            difference(place, wanted),
        )
        yield fault and f"at {moment}: {fault}"
        shop.remove(place)


def _recorded(path: Path) -> bool:
    return (path.parent / RECORDS / f"{path.stem}.json").exists()


def kill_writers(shop: Workshop, tries: int) -> Tries:
    """Every command that writes, killed at some stage of a write; run again it leaves what it does undisturbed, and no litter."""
    commands = writers(shop)
    for number in range(tries):
        writer = commands[number % len(commands)]
        moment = str(shop.random.choice(writer.moments))
        place = shop.folder(writer.begun)
        ended = forked.run(writer.command, place, {"HARNESS_FAULT": moment})
        fault = first(
            None if ended.was_killed else ended.fault(-signal.SIGKILL),
            forked.run(writer.command, place).fault(0),
            difference(place, writer.done),
        )
        yield fault and f"{writer.name} at {moment}: {fault}"
        shop.remove(place)


def kill_fresh(shop: Workshop, tries: int) -> Tries:
    """`train --fresh` killed inside a write, also where two folders cannot be exchanged: the old run is whole, or the new one."""
    begun, again = shop.trained(STEPS_OF_SHORT), [*shop.train(STEPS_OF_SHORT), "--seed", "5"]
    wanted = shop.made("fresh", begun, [*again, "--fresh"])
    ways = [(exchange, moments([*again, "--fresh"], shop.folder(begun), exchange)) for exchange in (None, without_exchange)]
    for number in range(tries):
        exchange, among = ways[number % 2]
        # Most stages come once, when the folders change places; those of the training after it are tried elsewhere.
        moment = str(shop.random.choice([one for one in among if one.startswith("directory-") and one.endswith(":1")]))
        place = shop.folder(begun)
        ended = forked.run([*again, "--fresh"], place, {"HARNESS_FAULT": moment}, exchange)
        on = forked.run(again, place)
        refused = on.code == errors.EXIT_DATA and "was made with other settings" in on.output
        fault = first(
            None if ended.was_killed else ended.fault(-signal.SIGKILL),
            difference(place, begun) if refused else first(on.fault(0), difference(place, wanted)),
            forked.run([*again, "--fresh"], place).fault(0),
            difference(place, wanted),
        )
        yield fault and f"at {moment}: {fault}"
        shop.remove(place)


def without_exchange() -> None:
    """Prepares a process to find a file system that cannot exchange two names, as some network disks."""
    files._exchange = lambda first, second: False


def two_at_once(shop: Workshop, tries: int) -> Tries:
    """Two commands that write the same place, started together: one result, the other, or a refusal."""
    begun, two_runs = shop.validated(), shop.folder(shop.validated())
    shutil.copytree(two_runs / "runs" / "a", two_runs / "runs" / "b")
    materials = together.Materials(shop.data, shop.folder(), shop.folder(begun), two_runs, shop.train(STEPS_OF_SHORT))
    among = list(together.pairs(materials))
    play = together.Together(shop.path, contents)
    order = [int(place) for _ in range(-(-tries // len(among))) for place in shop.random.permutation(len(among))]
    for place in order[:tries]:
        yield play.play(among[place], shop.random)


GIBIBYTE = 1024**3


def unpack_bombs(shop: Workshop, tries: int) -> Tries:
    """Files of kilobytes that would unpack to gigabytes: refused in a message, in less memory than one gigabyte."""
    place = shop.folder()
    bombs = [_npz_bomb(place), _npy_head_bomb(place), _sample_bomb(place), _labels_bomb(shop, place)]
    for number in range(tries):
        arguments, code = bombs[number % len(bombs)]

        def limit() -> None:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE
            resource.setrlimit(resource.RLIMIT_AS, (used + GIBIBYTE, used + GIBIBYTE))

        yield forked.run(arguments, place, prepare=limit).fault(code)
    shop.remove(place)


def _npz_bomb(place: Path) -> tuple[list[str], int]:
    """As many arrays as are allowed, each far wider than probabilities."""
    with zipfile.ZipFile(place / "wide.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("track.npy", _npy_head("<U1", (100,)) + bytes(400))
        archive.writestr("frame.npy", _npy_head("<i4", (100,)) + bytes(400))
        for number in range(200):
            archive.writestr(f"m{number}.npy", _npy_head("<f8", (100, 128)) + bytes(102_400))
    return ["import", "wide.npz"], errors.EXIT_DATA


def _npy_head_bomb(place: Path) -> tuple[list[str], int]:
    """A head of one gigabyte and a half."""
    with (
        zipfile.ZipFile(place / "head.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("track.npy", "w") as member,
    ):
        member.write(b"\x93NUMPY\x02\x00" + (GIBIBYTE + GIBIBYTE // 2).to_bytes(4, "little"))
        for _ in range(96):
            member.write(bytes(GIBIBYTE // 64))
    return ["import", "head.npz"], errors.EXIT_DATA


def _sample_bomb(place: Path) -> tuple[list[str], int]:
    """A list of more tracks than there are."""
    (place / "names.txt").write_text("".join(f"t{number}\n" for number in range(1_000_000)))
    (place / "answer.txt").write_text("x\n")
    return ["validate", "answer.txt", "--sample", "names.txt"], errors.EXIT_DATA


def _labels_bomb(shop: Workshop, place: Path) -> tuple[list[str], int]:
    """A label file of four million lines."""
    shutil.copytree(shop.data, place / "data")
    labels = sorted((place / "data").rglob("Train_Set/*.txt"))[0]
    labels.write_bytes(labels.read_bytes().partition(b"\n")[0] + b"\n" + b"0\n" * 4_000_000)
    return ["doctor", "data", "--no-images"], errors.EXIT_FINDINGS


def _npy_head(dtype: str, shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def kill_launcher(shop: Workshop, tries: int) -> Tries:
    """torchrun itself killed: its processes save and end, and the same command goes on."""
    command = [*shop.train(100_000), "--set", "checkpoint_every=5000", "--set", "evaluate_every=100000"]
    launched = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "--", "harness"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    for _ in range(tries):
        place = shop.folder()
        launcher = subprocess.Popen(
            [*launched, *command], cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        log = place / "runs" / "a" / "metrics.jsonl"
        while launcher.poll() is None and not (log.exists() and log.stat().st_size):
            time.sleep(0.05)
        children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
        launcher.kill()
        launcher.wait()
        begin = time.monotonic()
        while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() - begin < LAST_WORDS:
            time.sleep(0.1)
        left = [child for child in children if Path(f"/proc/{child}").exists()]
        for child in left:
            os.kill(int(child), signal.SIGKILL)
        saved = checkpoints.last(Run(place / "runs" / "a"), lambda error: None)
        yield first(
            f"{len(left)} processes went on" if left else None,
            None if saved is not None and saved.step % 5000 else "the last step was not saved",
        )
        shop.remove(place)


LAST_WORDS = 60
"""Seconds after which a process without its launcher counts as one that goes on."""


def flip_bytes(shop: Workshop, tries: int) -> Tries:
    """One bit of one byte of a checkpoint's files, anywhere; the older checkpoint is taken instead, aloud."""
    place = shop.folder(shop.trained(STEPS))
    run = Run(place / "runs" / "a")
    newest = checkpoints.folders(run)[-1]
    paths = sorted(newest.iterdir())
    for number in range(tries):
        path = paths[number % len(paths)]
        whole = path.read_bytes()
        damaged = bytearray(whole)
        position = int(shop.random.integers(len(damaged)))
        damaged[position] ^= 1 << int(shop.random.integers(8))
        path.write_bytes(damaged)
        try:
            checkpoints.verify(newest)
            yield f"a flip at byte {position} of {path.name} was not found"
        except DataError:
            yield None
        path.write_bytes(whole)
    shop.remove(place)


def stop(shop: Workshop, tries: int, kinds: Kinds) -> Tries:
    """SIGTERM and Ctrl-C in a step: it is finished and saved, the exit code says which, and the same command goes on."""
    ways = [(kind, sent, code) for kind in kinds(shop) for sent, code in SIGNALS]
    for number in range(tries):
        kind, sent, code = ways[number % len(ways)]
        step = int(shop.random.integers(1, kind.steps))
        place = shop.folder(kind.begun)
        fault = forked.run(kind.command(0), place, prepare=at_step(step, True, send(sent))).fault(code)
        saved = kind.saved(place)
        yield first(
            fault,
            None if saved is not None and saved.step == step else f"step {step} was not saved",
            forked.run(kind.command(0), place).fault(0),
            difference(place, kind.wanted),
        )
        shop.remove(place)


def stop_twice(shop: Workshop, tries: int, kinds: Kinds) -> Tries:
    """A second Ctrl-C ends at once, before the step is done, and loses no checkpoint."""
    among = kinds(shop)
    for number in range(tries):
        kind = among[number % len(among)]
        step = int(shop.random.integers(5, kind.steps))
        place = shop.folder(kind.begun)
        twice = at_step(step, True, send(signal.SIGINT, signal.SIGINT))
        fault = forked.run(kind.command(0), place, prepare=twice).fault(errors.EXIT_INTERRUPTED)
        saved = kind.saved(place)
        yield first(
            fault,
            None if saved is not None and saved.step < step else "it did not end at once",
            forked.run(kind.command(0), place).fault(0),
            difference(place, kind.wanted),
        )
        shop.remove(place)


def fill_disk(shop: Workshop, tries: int) -> Tries:
    """No space is left at some stage of a write, in each command that writes: one message, nothing half, and on it goes."""

    def refuse(writer: Writer) -> tuple[str, Callable[[], None]]:
        moment = str(shop.random.choice(writer.moments))
        return f"at {moment}", partial(fail_at, moment)

    yield from _with_each_writer(shop, tries, refuse)


def limit_files(shop: Workshop, tries: int) -> Tries:
    """The system refuses files beyond a size, in each command that writes."""

    def refuse(writer: Writer) -> tuple[str, Callable[[], None]]:
        limit = int(shop.random.integers(20, writer.largest // 2))
        return f"with files of at most {limit} bytes", partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))

    yield from _with_each_writer(shop, tries, refuse)


def _with_each_writer(shop: Workshop, tries: int, refuse: Callable[[Writer], tuple[str, Callable[[], None]]]) -> Tries:
    """Plays what `refuse` says, in words and as what prepares the process, on each command that writes, in turn."""
    commands = writers(shop)
    for number in range(tries):
        writer = commands[number % len(commands)]
        words, prepare = refuse(writer)
        place = shop.folder(writer.begun)
        fault = _full(writer, place, prepare=prepare)
        yield fault and f"{writer.name} {words}: {fault}"
        shop.remove(place)


def use_small_disk(shop: Workshop, tries: int) -> Tries:
    """A small disk that others have filled, for each command that writes; then they leave, or the work moves to a larger one."""
    commands = writers(shop)
    for number in range(tries):
        writer = commands[number % len(commands)]
        room = int(shop.random.integers(writer.pages))
        moved = shop.path / f"moved-{number}" if shop.random.integers(2) else None
        disk = shop.folder()
        try:
            fault = forked.on_small_disk(disk, 4 * _pages(writer.done) + 64, partial(_on_disk, writer, disk, room, moved))
        except PermissionError as error:
            print(f"no small disk can be made here, so none was tried: {error}", flush=True)
            return
        yield fault and f"{writer.name} with room for {room} pages, then {'moved' if moved else 'freed'}: {fault}"
        for place in (disk, moved):
            if place is not None:
                shop.remove(place)


def _on_disk(writer: Writer, disk: Path, room: int, moved: Path | None) -> str | None:
    """What is wrong after `writer` had room for so many pages, and then more: on `disk`, or in the folder `moved`."""
    place, others = disk / "work", disk / "others"
    shutil.copytree(writer.begun, place)
    others.write_bytes(bytes((os.statvfs(disk).f_bavail - room) * PAGE))

    def free() -> Path:
        if moved is not None:
            return Path(shutil.copytree(place, moved))
        others.unlink()
        return place

    return _full(writer, place, free=free)


def _pages(place: Path) -> int:
    """Pages of memory that the files in a folder take in a file system that lies there."""
    return sum(-(-path.stat().st_size // PAGE) for path in place.rglob("*") if path.is_file())


@dataclass(frozen=True)
class Writer:
    """A command, a folder where it has something to do, and one where it was done."""

    shop: Workshop
    command: list[str]
    begun: Path
    done: Path

    @property
    def name(self) -> str:
        """The command without the place of the data and what follows it."""
        return " ".join(itertools.takewhile(lambda word: word != "--data", self.command))

    @property
    def largest(self) -> int:
        """Bytes of the largest file that the command adds."""
        added = contents(self.done).keys() - contents(self.begun).keys()
        return max((self.done / name).stat().st_size for name in added)

    @property
    def pages(self) -> int:
        """Pages without which the command cannot end: the folder grows by so many, or one file has them."""
        return max(_pages(self.done) - _pages(self.begun), -(-self.largest // PAGE))

    @functools.cached_property
    def moments(self) -> list[str]:
        """Every moment of a write of the command."""
        return moments(self.command, self.shop.folder(self.begun))


@functools.cache
def writers(shop: Workshop) -> tuple[Writer, ...]:
    """The commands whose writing is disturbed."""
    data = ["--data", str(shop.data)]
    validated = shop.validated()
    unwritten = shop.folder(shop.predicted())
    shutil.rmtree(unwritten / "submissions")
    two_runs = shop.folder(validated)
    shutil.copytree(two_runs / "runs" / "a", two_runs / "runs" / "b")
    others = {
        "evaluated": (["evaluate", "a", "--split", "val", *data], validated),
        "tuned": (["tune", "a", *data], validated),
        "reported": (["report", "a", *data], validated),
        "packed": (["pack", "submissions/a", *data], validated),
        "averaged": (["ensemble", "a", "b", "--fit", "val", *data], two_runs),
        "folds": (["folds", *data], shop.folder()),
    }
    return (
        *(Writer(shop, kind.command(0), interrupted(shop, kind), kind.wanted) for kind in trainings(shop)),
        Writer(shop, shop.predict(), shop.trained(STEPS_OF_SHORT), shop.predicted()),
        Writer(shop, ["predict", "a", "--from-scores"], unwritten, shop.predicted()),
        _importing(shop),
        *(Writer(shop, command, begun, shop.made(name, begun, command)) for name, (command, begun) in others.items()),
        Writer(shop, shop.features(), shop.trained(STEPS_OF_SHORT), shop.featured()),
        *(
            Writer(shop, one.command(0), interrupted(shop, one), one.wanted)
            for one in (pretrainings(shop)[0], temporals(shop)[0])
        ),
    )


def _importing(shop: Workshop) -> Writer:
    from harness.data.scan import scan

    begun = shop.folder()
    tracks = scan(shop.data).split("test")
    frames = np.concatenate([track.frames for track in tracks])
    names = np.concatenate([np.full(len(track.frames), track.name) for track in tracks])
    values = shop.random.dirichlet(np.ones(8), len(frames)).astype(np.float32)
    np.savez(begun / "outside.npz", track=names, frame=frames, model=values)
    command = ["import", "outside.npz", "--data", str(shop.data)]
    return Writer(shop, command, begun, shop.made("imported", begun, command))


def fail_at(moment: str) -> None:
    """Lets the write of this moment and all later ones fail for want of space."""
    stage, _, count = moment.partition(":")
    seen = 0

    def fail(name: str) -> None:
        nonlocal seen
        seen += name == stage
        if seen >= int(count):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    files.set_stage_hook(fail)


def _full(
    writer: Writer, place: Path, prepare: Callable[[], None] | None = None, free: Callable[[], Path] | None = None
) -> str | None:
    """What is wrong after `writer` ran in `place` on a full disk, and once more with room, in the folder that `free` returns."""
    before, whole = contents(place), contents(writer.done)
    ended = forked.run(writer.command, place, prepare=prepare)
    left = contents(place)
    half = [name for name in left.keys() & whole.keys() if left[name] not in (before.get(name), whole[name])]
    half = [name for name in half if not name.endswith("metrics.jsonl")]  # a log grows line by line
    temporary = [name for name in left if name.endswith(".tmp") or ".tmp/" in name]
    damaged = [_damaged(Run(path)) for path in place.glob("runs/*")]
    place = free() if free else place
    return first(
        ended.fault(errors.EXIT_DATA),
        None if ended.output.count("harness: ") == 1 else f"not one message: {ended.output}",
        f"left over: {temporary[0]}" if temporary else None,
        f"neither as before nor as wanted: {half[0]}" if half else None,
        *damaged,
        forked.run(writer.command, place).fault(0),
        difference(place, writer.done),
    )


def _damaged(run: Run) -> str | None:
    """The first checkpoint that does not verify."""
    for path in checkpoints.folders(run):
        try:
            checkpoints.verify(path)
        except DataError as error:
            return str(error)
    return None


@dataclass(frozen=True)
class Surroundings:
    """Where else to predict and pack.

    Attributes
    ----------
    environment : variables that are set.
    workers : processes that decode images.
    launcher : what stands before `harness` where it predicts.
    below : a folder for data and work instead of the usual one.
    prepare : called in the process first, which is then a forked one.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    workers: int = 0
    launcher: Sequence[str] = ("-m",)
    below: Path | None = None
    prepare: Callable[[], None] | None = None

    def run(self, arguments: list[str], place: Path, launcher: Sequence[str] = ("-m",)) -> Ended:
        """Runs `harness ARGUMENTS` in the folder `place`."""
        if self.prepare is not None:
            return forked.run(arguments, place, self.environment, self.prepare)
        return forked.run_for_real(arguments, place, self.environment, launcher)


def change_environment(shop: Workshop, tries: int) -> Tries:
    """Scores, submission and archive are the same bytes in other environments."""
    from harness.data.scan import scan

    pack = ["pack", "submissions/a"]
    wanted = shop.made("sent", shop.predicted(), pack)
    elsewhere = shop.path / "a folder with blanks" / "日本"
    shutil.copytree(shop.data, elsewhere / shop.data.name)
    # Another user has to find the data, and may not be allowed to read the modules of this Python that are imported late.
    shop.path.chmod(0o755)
    scan(shop.data)
    codecs.lookup("cp437")

    def stranger() -> None:
        os.umask(0o077)
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)

    two_processes = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "--")
    plain = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    # Locales need not be installed, and zones need not exist: both are then what the system makes of them.
    ways = (
        Surroundings({"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "1", **plain}),
        Surroundings({"PYTHONHASHSEED": "4242", "HOME": "/nowhere"}, workers=1, below=elsewhere),
        Surroundings({"ACCELERATE_USE_CPU": "true"}, workers=2, launcher=two_processes),
        Surroundings(prepare=stranger),
        Surroundings({"LC_ALL": "tr_TR.UTF-8", "TZ": "<+1245>-12:45"}),
        Surroundings({"LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de", "TZ": "America/St_Johns"}, workers=1),
        Surroundings({"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii", "TZ": "No/Such_Zone", **plain}, below=elsewhere),
        Surroundings({"LC_ALL": "C.UTF-8", "TZ": "UTC+12", "PYTHONOPTIMIZE": "2", "COLUMNS": "20"}),
    )
    for number in range(tries):
        way = ways[number % len(ways)]
        place = shop.folder(shop.trained(STEPS_OF_SHORT))
        for path in [place, *place.rglob("*")]:
            path.chmod(0o777)
        place = place.rename(way.below / place.name) if way.below else place
        predict = shop.predict(way.workers, data=way.below and way.below / shop.data.name)
        fault = first(
            way.run(predict, place, way.launcher).fault(0),
            way.run(pack, place).fault(0),
            difference(place, wanted),
        )
        yield fault and f"in environment {number % len(ways) + 1}: {fault}"
        shop.remove(place)


@dataclass(frozen=True)
class Fault:
    """A kind of fault, how it is tried, and how often in the sample and in the full campaign."""

    name: str
    play: Callable[[Workshop, int], Tries]
    ci: int
    full: int


FAULTS = (
    Fault("training killed at a step", partial(kill_at_steps, kinds=partial(trainings, steps=STEPS)), 6, 20),
    Fault("`harness train` killed from outside", kill_training_for_real, 1, 4),
    Fault("training killed inside a save", partial(kill_saves, kinds=trainings), 10, 50),
    Fault("SIGTERM and Ctrl-C while training", partial(stop, kinds=trainings), 2, 10),
    Fault("Ctrl-C twice while training", partial(stop_twice, kinds=trainings), 1, 10),
    Fault("pre-training killed at a step", partial(kill_at_steps, kinds=pretrainings), 4, 20),
    Fault("pre-training killed inside a save", partial(kill_saves, kinds=pretrainings), 4, 50),
    Fault("SIGTERM and Ctrl-C while pre-training", partial(stop, kinds=pretrainings), 2, 10),
    Fault("Ctrl-C twice while pre-training", partial(stop_twice, kinds=pretrainings), 1, 10),
    Fault("temporal training killed at a step", partial(kill_at_steps, kinds=temporals), 4, 20),
    Fault("temporal training killed inside a save", partial(kill_saves, kinds=temporals), 4, 50),
    Fault("SIGTERM and Ctrl-C in temporal training", partial(stop, kinds=temporals), 2, 10),
    Fault("Ctrl-C twice in temporal training", partial(stop_twice, kinds=temporals), 1, 10),
    Fault("prediction killed inside a write", kill_prediction, 7, 20),
    Fault("any command killed inside a write", kill_writers, 7, 65),
    Fault("`train --fresh` killed between old and new", kill_fresh, 4, 20),
    Fault("torchrun itself killed", kill_launcher, 1, 3),
    Fault("two commands at once", two_at_once, 4, 60),
    Fault("kilobytes that would be gigabytes", unpack_bombs, 4, 4),
    Fault("no space left at a moment of a write", fill_disk, 13, 65),
    Fault("files limited in size", limit_files, 13, 39),
    Fault("a small disk that is full", use_small_disk, 13, 39),
    Fault("another environment, the same bytes", change_environment, 8, 16),
    Fault("a flipped byte in a checkpoint", flip_bytes, 100, 100),
)


def main() -> int:
    """Plays the faults, prints the table, and returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sample", choices=["ci", "full"], default="full")
    parser.add_argument("--only", default="", help="Only faults whose name holds this text.")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    forked.preload()
    complaints: list[str] = []
    print(f"{'fault':44} {'tries':>6} {'survived':>9} {'seconds':>8}", flush=True)
    with tempfile.TemporaryDirectory(prefix="harness-faults-") as path:
        shop = Workshop(Path(path), options.sample == "full")
        for fault in FAULTS:
            if options.only not in fault.name:
                continue
            begin = time.monotonic()
            faults = list(fault.play(shop, fault.full if shop.full else fault.ci))
            wrong = [text for text in faults if text is not None]
            complaints += [f"{fault.name}: {text}" for text in wrong]
            seconds = time.monotonic() - begin
            print(f"{fault.name:44} {len(faults):6} {len(faults) - len(wrong):9} {seconds:8.0f}", flush=True)
    for text in complaints:
        print(f"\n{text}", file=sys.stderr)
    return errors.EXIT_FINDINGS if complaints else errors.EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
