"""The campaign of faults: kills, full disks, flipped bytes, signals, other environments, many times over.

    python benchmarks/faults.py --sample full

Prints how many tries of each fault the harness survived and ends with exit code 1 if any was not. A killed or failed command is
run again, and what it leaves is compared byte for byte with what the same command leaves undisturbed.
"""

from __future__ import annotations

import argparse
import codecs
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import forked
import numpy as np
from forked import Ended

from harness import errors, files
from harness.errors import DataError
from harness.runs import checkpoints, store
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
# Logs of times differ from one run to the next, and a lock names its last holder.
NOT_COMPARED = ("timings.jsonl", ".lock")

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

    def featured(self) -> Path:
        """A folder with the short run `a` and its features, made without any fault; copy it before changing it."""
        place = self.path / "featured"
        if not place.exists():
            shutil.copytree(self.trained(STEPS_OF_SHORT), place)
            _expect(forked.run(["features", "a", "--data", str(self.data), "--batch", "16", "--workers", "0"], place))
        return place

    def predict(self, workers: int = 0) -> list[str]:
        """Arguments that predict the test split with the run `a`."""
        return ["predict", "a", "--data", str(self.data), "--batch", "16", "--workers", str(workers)]

    def trained(self, steps: int) -> Path:
        """A folder with the run `a` trained without any fault; copy it before changing it."""
        place = self.path / f"trained-{steps}"
        if not place.exists():
            place.mkdir()
            _expect(forked.run(self.train(steps), place))
        return place

    def predicted(self) -> Path:
        """A folder with the short run `a` trained and predicted without any fault; copy it before changing it."""
        place = self.path / "predicted"
        if not place.exists():
            shutil.copytree(self.trained(STEPS_OF_SHORT), place)
            _expect(forked.run(self.predict(), place))
        return place

    def remove(self, place: Path) -> None:
        """Removes the folder of a try."""
        shutil.rmtree(place)


def _expect(ended: Ended) -> None:
    fault = ended.fault(errors.EXIT_DONE)
    if fault:
        raise SystemExit(f"without any fault a command failed: {fault}")


def contents(place: Path) -> dict[str, str]:
    """The sha256 of every file that the commands left, but for logs of times, locks and records of the times of images."""
    return {
        str(path.relative_to(place)): _digest(path)
        for path in sorted(place.rglob("*"))
        if path.is_file()
        and (path.parent.name != RECORDS or path.name.endswith(".tmp"))
        and path.name not in NOT_COMPARED
        and not path.name.startswith(".lock-")
    }


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


def moments(command: list[str], place: Path) -> list[str]:
    """Every moment of a write in a command, in the form of HARNESS_FAULT: the stage and how often it came by then."""
    log = place / "moments.txt"

    def note(stage: str) -> None:
        with open(log, "a") as handle:
            handle.write(f"{stage}\n")

    def prepare() -> None:
        files.set_stage_hook(note)

    _expect(forked.run(command, place, prepare=prepare))
    counts: dict[str, int] = {}
    found = []
    for stage in log.read_text().split():
        counts[stage] = counts.get(stage, 0) + 1
        found.append(f"{stage}:{counts[stage]}")
    log.unlink()
    return found


def spread(random: np.random.Generator, choices: list[str], count: int) -> list[str]:
    """`count` of the moments, each stage in turn, drawn at random within a stage."""
    stages: dict[str, list[str]] = {}
    for choice in random.permutation(choices).tolist():
        stages.setdefault(choice.partition(":")[0], []).append(choice)
    order = sorted(stages)
    return [stages[order[k % len(order)]][k // len(order) % len(stages[order[k % len(order)]])] for k in range(count)]


def at_step(step: int, before: bool, act: Callable[[], None]) -> Callable[[], None]:
    """Prepares a training to `act` in this step (1-based): before its batch is used, or when its weights have moved."""

    def prepare() -> None:
        from harness.training import loop

        name = "_step" if before else "_after_step"
        plain = getattr(loop._Trainer, name)

        def acting(self: Any, number: int, other: Any) -> None:
            if number + before == step:
                act()
            plain(self, number, other)

        setattr(loop._Trainer, name, acting)

    return prepare


def send(*numbers: int) -> Callable[[], None]:
    """Sends signals to the process that calls it."""

    def act() -> None:
        for number in numbers:
            os.kill(os.getpid(), number)

    return act


def kill_training(shop: Workshop, tries: int) -> Tries:
    """One training killed at so many steps, with 0, 1 and 2 workers in turn, and compared at the end."""
    yield from _kill_at_steps(shop, tries, partial(shop.train, STEPS), STEPS, shop.trained(STEPS))


def kill_pretraining(shop: Workshop, tries: int) -> Tries:
    """The same for pre-training, half of the tries with a method that keeps a moving average and a queue."""
    for method in ("contrawarping", "moco"):
        wanted = shop.folder()
        _expect(forked.run(shop.pretrain(method), wanted))
        steps = int(PRETRAINING["iterations"])
        yield from _kill_at_steps(shop, tries // 2, partial(shop.pretrain, method), steps, wanted)


def kill_temporal(shop: Workshop, tries: int) -> Tries:
    """The same for temporal training on stored features, half of the tries with each model."""
    for model in ("transformer", "tcn"):
        wanted = shop.folder(shop.featured())
        _expect(forked.run(shop.train_temporal(model), wanted))
        command, steps = partial(shop.train_temporal, model), int(TEMPORAL["iterations"])
        yield from _kill_at_steps(shop, tries // 2, command, steps, wanted, shop.featured())


def _kill_at_steps(
    shop: Workshop,
    tries: int,
    command: Callable[[int], list[str]],
    steps: int,
    wanted: Path,
    begun: Path | None = None,
) -> Tries:
    place = shop.folder(begun)
    chosen = sorted((shop.random.choice(steps - 1, tries, replace=False) + 1).tolist())
    for number, step in enumerate(chosen):
        prepare = at_step(step, bool(shop.random.integers(2)), send(signal.SIGKILL))
        ended = forked.run(command(number % 3), place, prepare=prepare)
        if not ended.was_killed:
            yield f"at step {step}: {ended.fault(-signal.SIGKILL)}"
        elif number + 1 < len(chosen):
            yield None
    yield first(forked.run(command(2), place).fault(0), difference(place, wanted))


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


def kill_saves(shop: Workshop, tries: int) -> Tries:
    """Trainings that have a checkpoint, killed inside later saves, at every stage of a write."""
    wanted = shop.trained(STEPS_OF_SHORT)
    command = shop.train(STEPS_OF_SHORT)
    begun = shop.folder()
    ended = forked.run(command, begun, prepare=at_step(5, True, send(signal.SIGKILL)))
    assert ended.was_killed, ended.output
    for moment in spread(shop.random, moments(command, shop.folder(begun)), tries):
        place = shop.folder(begun)
        ended = forked.run(command, place, {"HARNESS_FAULT": moment})
        skipped: list[DataError] = []
        kept = checkpoints.last(Run(place / "runs" / "a"), skipped.append)
        fault = first(
            None if ended.was_killed else ended.fault(-signal.SIGKILL),
            f"a damaged checkpoint is left: {skipped[0]}" if skipped else None,
            None if kept is not None and kept.step >= 4 else "no checkpoint is left",
            forked.run(command, place).fault(0),
            difference(place, wanted),
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


def stop_training(shop: Workshop, tries: int) -> Tries:
    """SIGTERM and Ctrl-C in a step: it is finished and saved, the exit code says which, and the same command goes on."""
    wanted = shop.trained(STEPS_OF_SHORT)
    command = shop.train(STEPS_OF_SHORT)
    for number in range(tries):
        step = int(shop.random.integers(1, STEPS_OF_SHORT))
        sent, code = [(signal.SIGTERM, errors.EXIT_TERMINATED), (signal.SIGINT, errors.EXIT_INTERRUPTED)][number % 2]
        place = shop.folder()
        fault = forked.run(command, place, prepare=at_step(step, True, send(sent))).fault(code)
        saved = checkpoints.last(Run(place / "runs" / "a"), lambda error: None)
        yield first(
            fault,
            None if saved is not None and saved.step == step else f"step {step} was not saved",
            forked.run(command, place).fault(0),
            difference(place, wanted),
        )
        shop.remove(place)


def stop_twice(shop: Workshop, tries: int) -> Tries:
    """A second Ctrl-C ends at once, before the step is done, and loses no checkpoint."""
    wanted = shop.trained(STEPS_OF_SHORT)
    command = shop.train(STEPS_OF_SHORT)
    for _ in range(tries):
        step = int(shop.random.integers(5, STEPS_OF_SHORT))
        place = shop.folder()
        fault = forked.run(command, place, prepare=at_step(step, True, send(signal.SIGINT, signal.SIGINT))).fault(130)
        saved = checkpoints.last(Run(place / "runs" / "a"), lambda error: None)
        yield first(
            fault,
            None if saved is not None and saved.step < step else "it did not end at once",
            forked.run(command, place).fault(0),
            difference(place, wanted),
        )
        shop.remove(place)


def fill_disk(shop: Workshop, tries: int) -> Tries:
    """No space is left at some stage of a write, in each command that writes: one message, nothing half, and on it goes."""
    commands = writers(shop)
    for number in range(tries):
        writer = commands[number % len(commands)]
        moment = str(shop.random.choice(writer.moments()))
        fault = _full(writer, shop.folder(writer.begun), partial(fail_at, moment))
        yield fault and f"{writer.command[0]} at {moment}: {fault}"


def limit_files(shop: Workshop, tries: int) -> Tries:
    """The system refuses files beyond a size, in each command that writes."""
    commands = writers(shop)
    for number in range(tries):
        writer = commands[number % len(commands)]
        limit = int(shop.random.integers(20, writer.largest // 2))
        refuse = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
        fault = _full(writer, shop.folder(writer.begun), refuse)
        yield fault and f"{writer.command[0]} with files of at most {limit} bytes: {fault}"


@dataclass(frozen=True)
class Writer:
    """A command, a folder where it has something to do, and one where it was done."""

    shop: Workshop
    command: list[str]
    begun: Path
    done: Path

    @property
    def largest(self) -> int:
        """Bytes of the largest file that the command adds."""
        added = contents(self.done).keys() - contents(self.begun).keys()
        return max((self.done / name).stat().st_size for name in added)

    def moments(self) -> list[str]:
        """Every moment of a write of the command."""
        return moments(self.command, self.shop.folder(self.begun))


def writers(shop: Workshop) -> list[Writer]:
    """The commands whose writing is disturbed."""
    begun = shop.folder()
    command = shop.train(STEPS_OF_SHORT)
    ended = forked.run(command, begun, prepare=at_step(5, True, send(signal.SIGKILL)))
    assert ended.was_killed, ended.output
    predicted = shop.predicted()
    unwritten = shop.folder(predicted)
    shutil.rmtree(unwritten / "submissions")
    return [
        Writer(shop, command, begun, shop.trained(STEPS_OF_SHORT)),
        Writer(shop, shop.predict(), shop.trained(STEPS_OF_SHORT), predicted),
        Writer(shop, ["submission", "a"], unwritten, predicted),
        _importing(shop),
    ]


def _importing(shop: Workshop) -> Writer:
    from harness.data.scan import scan

    begun = shop.folder()
    tracks = scan(shop.data).split("test")
    frames = np.concatenate([track.frames for track in tracks])
    names = np.concatenate([np.full(len(track.frames), track.name) for track in tracks])
    values = shop.random.dirichlet(np.ones(8), len(frames)).astype(np.float32)
    np.savez(begun / "outside.npz", track=names, frame=frames, model=values)
    command = ["import", "outside.npz", "--data", str(shop.data)]
    done = shop.folder(begun)
    _expect(forked.run(command, done))
    return Writer(shop, command, begun, done)


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


def _full(writer: Writer, place: Path, prepare: Callable[[], None]) -> str | None:
    """What is wrong after a disk that was full in `writer` and has room again."""
    before, whole = contents(place), contents(writer.done)
    ended = forked.run(writer.command, place, prepare=prepare)
    left = contents(place)
    half = [name for name in left.keys() & whole.keys() if left[name] not in (before.get(name), whole[name])]
    half = [name for name in half if not name.endswith("metrics.jsonl")]  # a log grows line by line
    temporary = [name for name in left if name.endswith(".tmp") or ".tmp/" in name]
    fault = first(
        ended.fault(errors.EXIT_DATA),
        None if ended.output.count("harness: ") == 1 else f"not one message: {ended.output}",
        f"left over: {temporary[0]}" if temporary else None,
        f"neither as before nor as wanted: {half[0]}" if half else None,
        _damaged(Run(place / "runs" / "a")),
        forked.run(writer.command, place).fault(0),
        difference(place, writer.done),
    )
    writer.shop.remove(place)
    return fault


def _damaged(run: Run) -> str | None:
    """The first checkpoint that does not verify."""
    for path in checkpoints.folders(run):
        try:
            checkpoints.verify(path)
        except DataError as error:
            return str(error)
    return None


def change_environment(shop: Workshop, tries: int) -> Tries:
    """Scores and submission are the same bytes in other environments."""
    from harness.data.scan import scan

    two_processes = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "--")
    wanted = contents(shop.predicted())
    elsewhere = shop.path / "a folder with blanks" / "日本"
    elsewhere.mkdir(parents=True)
    # Another user has to find the data, and may not be allowed to read the modules of this Python that are imported late.
    shop.path.chmod(0o755)
    scan(shop.data)
    codecs.lookup("cp437")

    def stranger() -> None:
        os.umask(0o077)
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)

    ways: list[Callable[[Path], Ended]] = [
        lambda place: forked.run_for_real(
            shop.predict(), place, {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONHASHSEED": "1"}
        ),
        lambda place: forked.run_for_real(
            shop.predict(1), place.rename(elsewhere / place.name), {"PYTHONHASHSEED": "4242", "HOME": "/nowhere"}
        ),
        lambda place: forked.run_for_real(shop.predict(2), place, {"ACCELERATE_USE_CPU": "true"}, two_processes),
        lambda place: forked.run(shop.predict(), place, prepare=stranger),
    ]
    for number in range(tries):
        place = shop.folder(shop.trained(STEPS_OF_SHORT))
        for path in [place, *place.rglob("*")]:
            path.chmod(0o777)
        ended = ways[number % len(ways)](place)
        there = place if place.exists() else elsewhere / place.name
        found = contents(there)
        yield first(ended.fault(0), None if found == wanted else f"other bytes in environment {number % len(ways) + 1}")


@dataclass(frozen=True)
class Fault:
    """A kind of fault, how it is tried, and how often in the sample and in the full campaign."""

    name: str
    play: Callable[[Workshop, int], Tries]
    ci: int
    full: int


FAULTS = (
    Fault("training killed at a step", kill_training, 6, 20),
    Fault("`harness train` killed from outside", kill_training_for_real, 1, 4),
    Fault("training killed inside a save", kill_saves, 10, 50),
    Fault("SIGTERM and Ctrl-C while training", stop_training, 2, 10),
    Fault("Ctrl-C twice while training", stop_twice, 1, 3),
    Fault("prediction killed inside a write", kill_prediction, 7, 20),
    Fault("pre-training killed at a step", kill_pretraining, 4, 20),
    Fault("temporal training killed at a step", kill_temporal, 4, 20),
    Fault("no space left at a moment of a write", fill_disk, 8, 40),
    Fault("files limited in size", limit_files, 4, 16),
    Fault("another environment, the same bytes", change_environment, 4, 8),
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
