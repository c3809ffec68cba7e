"""All verbs with hostile arguments and damaged files: they end with an exit code of harness.errors, never with a traceback."""

from __future__ import annotations

import copy
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.cli import VERBS, harness, main
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_FINDINGS, EXIT_USAGE

pytestmark = pytest.mark.slow
CODES = {EXIT_DONE, EXIT_FINDINGS, EXIT_DATA, EXIT_USAGE}
LONG = ("demo-data", "train", "pretrain", "crossval", "rehearse", "table1", "reproduce", "probe", "best", "crop")
"""Verbs whose work takes long: they get no data root that is whole."""
TEXTS = (
    *(
        "",
        " ",
        "x",
        "a",
        "b",
        "-1",
        "0",
        "nan",
        "inf",
        "1e308",
        "1e308,1e308",
        "9" * 5000,
        "0.5,0.5",
        "1/2",
        "2/1",
        "val",
        "test",
    ),
    *(
        "res18",
        "EXPR",
        "VA",
        "AffectNet",
        "a=b",
        "seed=" + "9" * 5000,
        "batch=nan",
        "\udcff\udcfe",
        "\x1b[31m",
        "x/../y",
        "/dev/null",
    ),
    *("x" * 300, "日本", "a,b", "'", "%s%n", "~x", "runs/a", "submissions/a", "videos", "5", "-h", "--"),
)
"""What stands for a text, a number or a choice."""
FILES = (
    *(
        "empty",
        "text.txt",
        "json.json",
        "digits.json",
        "deep.json",
        "not-utf8.json",
        "table.csv",
        "quote.csv",
        "names.txt",
        "page.html",
    ),
    *(
        "empty.npz",
        "bare.npz",
        "scores.npz",
        "vector.npy",
        "weights.pth",
        "float8.pth",
        "archive.zip",
        "cut.zip",
        "image.jpg",
        "a.yaml",
    ),
    *("runs/a", "submissions/a", "data", "nowhere/at/all", "\udcff.txt", "folder"),
)
"""Paths in the working folder, most of them of files that are something else than what is asked for."""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, trained: Path, drawn_root: Path) -> Iterator[Path]:
    """A working folder with a trained and predicted run `a`, an answer of it, and files of every kind that are damaged."""
    place = tmp_path_factory.mktemp("fuzz") / "work"
    shutil.copytree(trained, place)
    shutil.copytree(drawn_root, place / "data")
    before = os.getcwd()
    os.chdir(place)
    try:
        assert code_of(["predict", "a", "--from-scores", "--data", "data"]) == EXIT_DONE
        assert code_of(["tune", "a", "--data", "data"]) == EXIT_DONE
        for name, content in strange_files().items():
            Path(os.fsdecode(os.fsencode(name))).write_bytes(content)
        Path("folder").mkdir()
        yield place
    finally:
        os.chdir(before)


def strange_files() -> dict[str, bytes]:
    import torch
    from PIL import Image

    def saved(save: Callable[..., object], *values: Any, **named: Any) -> bytes:
        buffer = io.BytesIO()
        save(buffer, *values, **named)
        return buffer.getvalue()

    def torch_saved(value: object) -> bytes:
        buffer = io.BytesIO()
        torch.save(value, buffer)
        return buffer.getvalue()

    picture = io.BytesIO()
    Image.new("RGB", (32, 32)).save(picture, "JPEG")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as handle:
        handle.writestr("video1.txt", "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other\n0\n")
    names = np.array([], "U5")
    return {
        "empty": b"",
        "text.txt": b"image_location,Neutral\nx/00001.jpg,1\n",
        "json.json": b'{"format": 1, "folds": [], "seed": null}',
        "digits.json": b'{"format": ' + b"9" * 5000 + b"}",
        "deep.json": b"[" * 100_000,
        "not-utf8.json": b'{"\xff": 1}',
        "table.csv": b"track,rows,path,label,recording,person,fps,frame\nx,1,y,0,z,w,-1,nan\n",
        "quote.csv": b'path,label\n"x,1\n',
        "names.txt": b"video1\nvideo2\n\xff\n",
        "page.html": b"<html>",
        "empty.npz": saved(np.savez, track=names, frame=np.array([], int), m=np.zeros((0, 8), "f4")),
        "bare.npz": saved(np.savez, np.zeros(3)),
        "scores.npz": saved(np.savez, track=np.array(["x"]), frame=np.array([2**40]), m=np.full((1, 8), np.nan)),
        "vector.npy": saved(np.save, np.zeros(3)),
        "weights.pth": torch_saved({"state_dict": {"\x1b[31m": torch.ones(2)}}),
        "float8.pth": torch_saved({"a": torch.ones(3, dtype=torch.float8_e4m3fn)}),
        "archive.zip": archive.getvalue(),
        "cut.zip": archive.getvalue()[:60],
        "image.jpg": picture.getvalue(),
        "a.yaml": b"backbone: [1, {a: 2}]\nseed: 1e400\n",
        "\udcff.txt": b"Neutral\n",
    }


def code_of(arguments: list[str]) -> int:
    """The exit code of a command; a fault that it lets out is another exception, which fails the test."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    code = ended.value.code or 0
    assert isinstance(code, int), code
    return code


def parameters(verb: str) -> list[click.Parameter]:
    command = harness.get_command(click.Context(harness), verb)
    assert command is not None
    return [one for one in command.params if one.name != "help"]


def value_of(one: click.Parameter, verb: str) -> st.SearchStrategy[str]:
    """What can stand for a parameter: mostly what it is not."""
    paths = st.sampled_from([path for path in FILES if verb not in LONG or path != "data"])
    if isinstance(one.type, click.Choice):
        return st.sampled_from([*map(str, one.type.choices), *TEXTS])
    if isinstance(one.type, click.types.IntParamType | click.types.FloatParamType):
        return st.sampled_from(TEXTS)
    return st.one_of(paths, st.sampled_from(TEXTS))


@st.composite
def commands(draw: st.DrawFn) -> list[str]:
    """A verb with arguments for all that it must have and for some that it may have."""
    verb = draw(st.sampled_from([*VERBS]))
    words = [verb]
    for one in parameters(verb):
        if isinstance(one, click.Argument):
            words += [draw(value_of(one, verb)) for _ in range(draw(st.integers(1, 2)))]
        elif isinstance(one, click.Option) and draw(st.integers(0, 3)) == 0:
            words.append(draw(st.sampled_from(one.opts)))
            if not one.is_flag:
                words.append(draw(value_of(one, verb)))
    if verb in LONG and "--data" not in words and any(one.name == "data" for one in parameters(verb)):
        words += ["--data", draw(st.sampled_from(["folder", "empty", "nowhere"]))]
    return words


fuzzed = settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=int(os.environ.get("HARNESS_FUZZ_EXAMPLES", "60")),
)


@given(commands())
@fuzzed
def test_any_arguments_end_in_a_message(workshop: Path, words: list[str]) -> None:
    assert code_of(words) in CODES


JSON_FILES = (
    "runs/a/run.json",
    "runs/a/tuned.json",
    "runs/a/scores/val/scores.json",
    "runs/a/scores/test/scores.json",
    "submissions/a/submission.json",
)
ASKING = (
    "runs",
    "evaluate a --split val --data data",
    "predict a --from-scores --data data",
    "validate submissions/a",
    "pack submissions/a",
    "inspect submissions/a video1",
    "compare submissions/a submissions/a",
    "compare a a --data data",
    "ensemble a b --data data --run e",
    "predict a --split test --data data --workers 0",
    "features a --data data --workers 0",
    "tune a --data data",
    "report a --data data",
)
STRANGE: tuple[Any, ...] = (None, True, -1, 0, 1e308, 10**30, "", "x", "\x1b[31m", "../..", [], {}, [None], {"x": []}, "9" * 300)


@st.composite
def nearly_right(draw: st.DrawFn) -> list[str]:
    """A command that succeeds, with one more option that says something strange."""
    words = draw(st.sampled_from(ASKING)).split()
    options = [one for one in parameters(words[0]) if isinstance(one, click.Option) and not one.is_flag]
    option = draw(st.sampled_from([one for one in options if not set(one.opts) & set(words)] or options))
    return [*words, option.opts[-1], draw(st.sampled_from((*TEXTS, "9" * 40)))]


@given(nearly_right())
@fuzzed
def test_one_strange_option_of_a_right_command_ends_in_a_message(workshop: Path, words: list[str]) -> None:
    try:
        assert code_of(words) in CODES
    finally:
        for name in {path.name for path in Path("runs").iterdir()} - {"a"}:
            shutil.rmtree(Path("runs") / name, ignore_errors=True)


@st.composite
def damages(draw: st.DrawFn) -> tuple[str, str, int, Any]:
    """A command, a file that it reads, which of the values in it is replaced, and by what; None cuts the file's text instead."""
    return (
        draw(st.sampled_from(ASKING)),
        draw(st.sampled_from(JSON_FILES)),
        draw(st.integers(0, 10_000)),
        draw(st.one_of(st.sampled_from(STRANGE), st.just(...))),
    )


def places_in(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a JSON value with every key or index of it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from places_in(inner)


@given(damages())
@fuzzed
def test_any_damage_of_what_a_command_reads_ends_in_a_message(workshop: Path, damage: tuple[str, str, int, Any]) -> None:
    command, name, number, strange = damage
    path = Path(name)
    whole = path.read_bytes()
    try:
        if strange is ...:
            path.write_bytes(whole[: number % len(whole)])
        else:
            value = json.loads(whole)
            spots = list(places_in(value))
            container, key = spots[number % len(spots)]
            container[key] = copy.deepcopy(strange)
            path.write_text(json.dumps(value))
        assert code_of(command.split()) in CODES
    finally:
        path.write_bytes(whole)
        shutil.rmtree("runs/e", ignore_errors=True)
