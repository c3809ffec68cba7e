"""Training and prediction on two hosts that share a folder and nothing else: figures of one host, a host that dies, going on."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import files
from harness.runs import checkpoints
from harness.runs.store import Run
from tests.interruption import result

NAMES = ("harness-a", "harness-b")
"""Network namespaces, in each of which a host stands, and their names there."""
ADDRESSES = ("10.213.77.1", "10.213.77.2")
WAIT = 240
"""Seconds after which a group that neither goes on nor ends has failed."""


def _do(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def _has_namespaces() -> bool:
    """Whether this machine lets us make network namespaces joined by a cable, tried with ones that go away again."""
    if not all(map(shutil.which, ("ip", "unshare"))) or os.geteuid() != 0:
        return False
    # Names of this process alone: another one may try at the same time.
    name, ends = f"harness-{os.getpid()}", (f"hn{os.getpid()}", f"hm{os.getpid()}")
    made = _do("ip", "netns", "add", name) and _do("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
    _do("ip", "link", "del", ends[0])
    _do("ip", "netns", "del", name)
    return made and _do("unshare", "--uts", "true")


@dataclass
class Host:
    """What begins a command on a host, its address, and its network device."""

    before: tuple[str, ...]
    address: str
    device: str


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    """Two hosts with addresses, names and loopbacks of their own, where the machine allows it."""
    if not _has_namespaces():
        print("two agents on loopback, for want of network namespaces")
        yield [Host((), "127.0.0.1", "lo")] * 2
        return
    with contextlib.ExitStack() as stack:
        for name in NAMES:
            _do("ip", "netns", "del", name)
            assert _do("ip", "netns", "add", name)
            stack.callback(_do, "ip", "netns", "del", name)
        # Made inside, so that it goes away with them.
        cable = ("netns", NAMES[0], "type", "veth", "peer", "name", "cable", "netns", NAMES[1])
        assert _do("ip", "link", "add", "cable", *cable)
        for name, address in zip(NAMES, ADDRESSES, strict=True):
            assert _do("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "cable")
            assert _do("ip", "-n", name, "link", "set", "cable", "up")
            assert _do("ip", "-n", name, "link", "set", "lo", "up")
        named = [
            ("ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", f'hostname {name}; exec "$@"', "sh") for name in NAMES
        ]
        yield [Host(before, address, "cable") for before, address in zip(named, ADDRESSES, strict=True)]


Start = Callable[[Sequence[str]], list[subprocess.Popen[str]]]


@pytest.fixture
def start(hosts: list[Host], tmp_path: Path) -> Iterator[Start]:
    """Starts a command of the harness on both hosts, one process on each, in the shared folder; ends what is left of it."""
    begun: list[subprocess.Popen[str]] = []

    def call(command: Sequence[str]) -> list[subprocess.Popen[str]]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        here = str(Path(__file__).resolve().parent.parent)
        group = []
        for rank, host in enumerate(hosts):
            words = ["--nnodes", "2", "--nproc_per_node", "1", "--rdzv_backend", "c10d", "--local_addr", host.address]
            words += ["--rdzv_endpoint", f"{hosts[0].address}:{port}", "--rdzv_conf", f"is_host={rank == 0},join_timeout={WAIT}"]
            surroundings = {**os.environ, "PYTHONPATH": here, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
            process = subprocess.Popen(
                [*host.before, sys.executable, "-m", "torch.distributed.run", *words, "-m", "--", "harness", *command],
                cwd=tmp_path,
                env={**surroundings, "GLOO_SOCKET_IFNAME": host.device},
                stdout=subprocess.DEVNULL,
                stderr=open(tmp_path / f"said-{rank}", "w"),  # noqa: SIM115 - the process has it
                text=True,
                start_new_session=True,
            )
            group.append(process)
            begun.append(process)
        return group

    yield call
    for process in begun:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def said(place: Path) -> str:
    return "\n".join((place / f"said-{rank}").read_text() for rank in range(2))


def ended(group: Sequence[subprocess.Popen[str]]) -> list[int]:
    return [process.wait(timeout=WAIT) for process in group]


def die(host: subprocess.Popen[str]) -> None:
    """Takes the power from a host: its agent and its process end at once, whatever they are at."""
    found = [host.pid]
    for process in found:
        found += map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())
    for process in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@pytest.mark.slow
def test_two_hosts_train_and_predict_as_one_and_go_on_when_one_has_died(
    start: Start, hosts: list[Host], tmp_path: Path, drawn_root: Path, tiny: dict[str, str]
) -> None:
    changes = {**tiny, "iterations": "60", "evaluate_every": "60", "checkpoint_every": "10"}
    shared = ["--data", str(drawn_root), "--workers", "0"]
    train = ["train", "--recipe", "res18", "--from-scratch", *shared]
    train += [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    (tmp_path / "one").mkdir()

    def on_one_host(command: Sequence[str]) -> None:
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "--", "harness"]
        environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
        done = subprocess.run([*launch, *command], cwd=tmp_path / "one", env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    on_one_host([*train, "--run", "a"])
    one = Run(tmp_path / "one" / "runs" / "a")
    trained = result(one)
    on_one_host(["predict", "a", "--split", "val", *shared])

    run = Run(tmp_path / "runs" / "a")
    group = start([*train, "--run", "a"])
    until = time.monotonic() + WAIT
    while not checkpoints.folders(run):
        assert all(process.poll() is None for process in group), said(tmp_path)
        assert time.monotonic() < until, said(tmp_path)
        time.sleep(0.05)
    die(group[1])
    assert ended(group)[0] != 0, "the host that is left goes on alone"
    assert "training on 2 processes" in said(tmp_path)
    left = checkpoints.last(run, lambda error: None)
    assert left is not None
    assert left.step < 60
    assert ended(start([*train, "--run", "a"])) == [0, 0], said(tmp_path)
    assert f"resumed at step {left.step}" in said(tmp_path)
    assert result(run) == trained

    assert ended(start(["predict", "a", "--split", "val", *shared])) == [0, 0], said(tmp_path)
    scores = [{path.name: files.sha256(path) for path in (place.path / "scores" / "val").glob("[!.]*")} for place in (run, one)]
    assert scores[0] == scores[1]
    assert len(scores[0]) > 2
