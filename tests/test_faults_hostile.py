"""What others made to do harm: bombs, names, escapes for the terminal, pickles; through the command line."""

from __future__ import annotations

import io
import os
import pickle
import runpy
import shutil
import subprocess
import sys
import tracemalloc
import webbrowser
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch

from harness.cli import VERBS, harness, main
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_FINDINGS, EXIT_USAGE

LARGEST_GROWTH = 190  # MiB, which is 200 MB
LARGEST_PICTURE = 220  # MiB: 24 bytes for each of nine million pixels, and what libraries take besides
# getrusage would begin at what the process that starts it has in memory.
GROWTH = """
import sys
from harness.cli import main
{imports}
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024
before = peak()
try:
    main(sys.argv[1:])
    code = 0
except SystemExit as end:
    code = end.code
print("growth", code, peak() - before)
"""


def run(arguments: list[str]) -> int:
    """The exit code of a command; a traceback would be another exception."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def growth(arguments: list[str], imports: str) -> tuple[int, int]:
    """Exit code of a command and the MiB by which it made a process grow that had imported `imports`."""
    program = GROWTH.format(imports=imports)
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    code, mebibytes = done.stdout.splitlines()[-1].split()[1:]
    return int(code), int(mebibytes)


def npy_head(dtype: str, shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def npz_bomb(path: Path) -> Path:
    """Probabilities of fifty million frames, all nought: 1.6 GB in 1.6 MB."""
    rows = 50_000_000
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, dtype, shape in (("track", "<U1", (rows,)), ("frame", "<i4", (rows,)), ("model", "<f4", (rows, 8))):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(npy_head(dtype, shape))
                if name == "model":
                    for _ in range(rows * 32 // 16_000_000):
                        member.write(bytes(16_000_000))
    return path


def wide_npz(path: Path) -> Path:
    """A name that says it is a gigabyte long."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("track.npy", npy_head("<U250000000", (1,)) + bytes(1000))
    return path


def text_npz(path: Path) -> Path:
    """A member that is no array would be unpacked as it is."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme.txt", bytes(250_000_000), compresslevel=1)
    return path


def npz_of_many_wide_arrays(path: Path) -> Path:
    """As many arrays as are allowed, each with rows sixteen times as wide as probabilities of eight classes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("track.npy", npy_head("<U1", (1000,)) + bytes(4000))
        archive.writestr("frame.npy", npy_head("<i4", (1000,)) + bytes(4000))
        for number in range(254):
            archive.writestr(f"model{number}.npy", npy_head("<f8", (1000, 128)) + bytes(1_024_000))
    return path


def npz_with_a_long_head(path: Path) -> Path:
    """An npy file of version 2.0 may say that its head has up to four gigabytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("track.npy", b"\x93NUMPY\x02\x00" + (400_000_000).to_bytes(4, "little") + bytes(400_000_000))
    return path


@pytest.mark.parametrize("make", [npz_bomb, wide_npz, text_npz, npz_of_many_wide_arrays, npz_with_a_long_head])
def test_an_outside_file_is_not_unpacked_beyond_what_the_data_can_hold(
    tmp_path: Path, drawn_root: Path, make: Callable[[Path], Path]
) -> None:
    path = make(tmp_path / "bomb.npz")
    assert path.stat().st_size < 10_000_000
    code, mebibytes = growth(["import", str(path), "--data", str(drawn_root)], "import harness.runs.imports, harness.data.scan")
    assert code == EXIT_DATA
    assert mebibytes < LARGEST_GROWTH


def wide_frames_h5(path: Path) -> None:
    """`frame` of 200,000 columns: 1.6 MB a row, of which nothing is stored."""
    import h5py

    with h5py.File(path, "w") as file:
        file["track"] = np.full(500, b"a")
        file.create_dataset("frame", shape=(500, 200_000), dtype="i8", chunks=(1, 1000), compression="gzip")
        file["model"] = np.zeros((500, 4), "f4")


def wide_track_h5(path: Path) -> None:
    """Names of a megabyte each."""
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("track", shape=(500,), dtype="S1000000", chunks=(1,), compression="gzip")
        file["frame"] = np.arange(500)
        file["model"] = np.zeros((500, 4), "f4")


@pytest.mark.parametrize("make", [wide_frames_h5, wide_track_h5])
def test_the_shape_of_a_data_set_is_looked_at_before_it_is_read(
    tmp_path: Path, drawn_root: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "wide.h5"
    make(path)
    assert path.stat().st_size < 1_000_000
    arguments = ["import", str(path), "--features", "--data", str(drawn_root)]
    code, mebibytes = growth(arguments, "import harness.runs.feature_imports, harness.data.scan, h5py")
    assert code == EXIT_DATA
    assert mebibytes < LARGEST_GROWTH


def csv_of_a_long_name(path: Path) -> None:
    """One name of a hundred thousand letters among short ones, all of which an array keeps in the width of the longest."""
    rows = [f"{'a' * 100_000 if number == 0 else 'b'},{number + 1},1" for number in range(700)]
    path.write_text("\n".join(["track,frame,label", *rows]))


def parquet_of_a_long_name(path: Path) -> None:
    parquet_of(path, ["a" * 60_000_000])


def parquet_of_one_name_many_times(path: Path) -> None:
    """A name of a megabyte that a dictionary has once and every row means."""
    parquet_of(path, ["a" * 1_000_000] * 700)


def parquet_of(path: Path, names: list[str], frame: list[str] | None = None, **options: Any) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    ones = arrow.array(np.ones(len(names), np.int64))
    table = arrow.table({"track": arrow.array(names), "frame": ones if frame is None else arrow.array(frame), "label": ones})
    parquet.write_table(table, path, compression="zstd", **options)


def varint(number: int, least: int = 1) -> bytes:
    """A whole number as Thrift's compact protocol writes it, in `least` bytes or more."""
    signed = 2 * number
    return b"".join(
        [bytes([128 | signed >> 7 * place & 127]) for place in range(least - 1)] + [bytes([signed >> 7 * (least - 1)])]
    )


def foot_says_less(path: Path, true: int, said: int) -> None:
    """Puts another number into the foot of a Parquet file, wherever one of three bytes or more stands."""
    data = path.read_bytes()
    foot = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    length = -(-(2 * true).bit_length() // 7)
    written = data[foot:].replace(varint(true, length), varint(said, length))
    assert written != data[foot:]
    path.write_bytes(data[:foot] + written)


def parquet_whose_foot_says_less(path: Path) -> None:
    """A page of 100 MB in a column that has 200 bytes by the words of the file's foot."""
    parquet_of(path, ["a" * 100_000_000, "b", "c"], use_dictionary=False, write_statistics=False)
    import pyarrow.parquet

    foot_says_less(path, pyarrow.parquet.read_metadata(path).row_group(0).column(0).total_uncompressed_size, 200)


def parquet_whose_rows_are_more_than_said(path: Path) -> None:
    """Ten million rows, of which the foot says 700 where it counts those of the table."""
    rows = 10_000_000
    parquet_of(path, ["a"] * rows, write_statistics=False, row_group_size=rows)
    data = path.read_bytes()
    foot = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    length = len(varint(rows, 4))
    path.write_bytes(data[:foot] + data[foot:].replace(varint(rows, length), varint(700, length), 1))


def parquet_of_texts_for_numbers(path: Path) -> None:
    """A text of a megabyte, once in a dictionary, where each row should have a number."""
    parquet_of(path, ["a"] * 300, frame=["x" * 1_000_000] * 300)


@pytest.mark.parametrize(
    "make",
    [
        csv_of_a_long_name,
        parquet_of_a_long_name,
        parquet_of_one_name_many_times,
        parquet_whose_foot_says_less,
        parquet_whose_rows_are_more_than_said,
        parquet_of_texts_for_numbers,
    ],
)
def test_names_in_a_table_take_no_more_than_names_can(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path, rows = tmp_path / f"names.{make.__name__.partition('_')[0]}", tmp_path / "rows.csv"
    make(path)
    rows.write_text("track,rows\nb,1000\n")
    assert path.stat().st_size < 200_000
    imports = "import harness.runs.imports, harness.data.scan" + ", pyarrow.parquet" * (path.suffix == ".parquet")
    code, mebibytes = growth(["import", str(path), "--rows", str(rows)], imports)
    assert code == EXIT_DATA
    assert mebibytes < LARGEST_GROWTH


def test_of_many_arrays_of_probabilities_one_is_in_memory_at_a_time(tmp_path: Path) -> None:
    from harness.runs.foreign_columns import ForeignColumns
    from harness.runs.imports import read_foreign

    rows, path = 100_000, tmp_path / "many.npz"
    values = np.full((rows, 8), 1 / 8, np.float16)
    names = [f"model{number}" for number in range(24)]
    arrays: dict[str, Any] = dict.fromkeys(names, values)
    np.savez_compressed(path, track=np.full(rows, "a"), frame=np.arange(rows), **arrays)
    tracemalloc.start()
    foreign = read_foreign(path, ForeignColumns())
    sums = {name: float(array.sum()) for name, array in foreign.arrays.items()}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sums == dict.fromkeys(names, float(rows))
    one = rows * 8 * 8  # bytes of an array as it is worked with
    assert peak < 6 * one


def many_lines(path: Path, line: bytes, header: bytes = b"", count: int = 4_000_000) -> Path:
    path.write_bytes(header + line * count)
    return path


def labels_of_a_day(root: Path) -> list[str]:
    labels = sorted(root.rglob("Train_Set/*.txt"))[0]
    many_lines(labels, b"0\n", labels.read_bytes().partition(b"\n")[0] + b"\n")
    return ["doctor", str(root), "--no-images"]


def rows_of_many_tracks(root: Path) -> list[str]:
    table = root / "rows.csv"
    table.write_text("track,rows\n" + "".join(f"t{number},1\n" for number in range(1_000_000)))
    return ["validate", str(root / "answer.txt"), "--rows", str(table)]


def names_of_many_tracks(root: Path) -> list[str]:
    names = root / "names.txt"
    names.write_text("".join(f"t{number}\n" for number in range(1_000_000)))
    return ["validate", str(root / "answer.txt"), "--sample", str(names)]


@pytest.mark.parametrize("make", [labels_of_a_day, rows_of_many_tracks, names_of_many_tracks])
def test_a_long_text_is_refused_before_it_is_taken_apart(
    tmp_path: Path, drawn_root: Path, make: Callable[[Path], list[str]]
) -> None:
    root = tmp_path / "root"
    shutil.copytree(drawn_root, root)
    (root / "answer.txt").write_text("image_location,label\na/00001.jpg,1\n")
    code, mebibytes = growth(make(root), "import harness.submission.checks, harness.data.doctor")
    assert code in (EXIT_DATA, EXIT_FINDINGS)
    assert mebibytes < 60


def alias_bomb(path: Path) -> Path:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"] + [f"a{k}: &a{k} [{','.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 12)]
    path.write_text("\n".join(lines))
    return path


def deep_bomb(path: Path) -> Path:
    path.write_text("a: " + "[" * 100_000)
    return path


def long_bomb(path: Path) -> Path:
    with open(path, "wb") as handle:
        handle.truncate(3_000_000_000)  # takes no space on the disk
    return path


@pytest.mark.parametrize("make", [alias_bomb, deep_bomb, long_bomb])
def test_a_recipe_that_would_grow_is_refused(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path / "bomb.yaml")
    code, mebibytes = growth(["recipes", str(path)], "import harness.recipes.recipe")
    assert code in (EXIT_DATA, EXIT_USAGE)
    assert mebibytes < LARGEST_GROWTH


DECODING = """
import sys
from pathlib import Path
from PIL import Image
from harness.data.image_files import UnreadableImageError
from harness.images.decode import decode
Image.init()
data = Path(sys.argv[1]).read_bytes()
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024
before = peak()
try:
    said = str(decode(data, 24).shape[0])
except UnreadableImageError:
    said = "refused"
print(said, peak() - before)
"""


def decoding(path: Path) -> tuple[str, int]:
    """What became of an image, and the MiB by which it made a process grow."""
    command = [sys.executable, "-c", DECODING, str(path)]
    said, mebibytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return said, int(mebibytes)


def huge_png(path: Path) -> None:
    from PIL import Image

    Image.new("1", (30_000, 30_000)).save(path, "PNG")


def huge_jpeg(path: Path) -> None:
    from PIL import Image

    jpeg = io.BytesIO()
    Image.new("L", (8, 8)).save(jpeg, "JPEG")
    data = bytearray(jpeg.getvalue())
    size = data.index(b"\xff\xc0") + 5
    data[size : size + 4] = b"\xff\xff\xff\xff"  # 65,535 by 65,535
    path.write_bytes(data)


def just_above(path: Path) -> None:
    from PIL import Image

    Image.new("L", (4096, 2198)).save(path, "PNG")


@pytest.mark.parametrize("make", [huge_png, huge_jpeg, just_above])
def test_a_picture_that_would_grow_is_refused_before_it_is_decoded(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "bomb")
    said, mebibytes = decoding(tmp_path / "bomb")
    assert said == "refused"
    assert mebibytes < 20


# As many pixels as are allowed, in the ways that take most memory for each.
ALLOWED = (4096, 2197)
WORST: dict[str, tuple[str, str, dict[str, Any]]] = {
    "webp": ("RGBA", "WEBP", {"lossless": True}),
    "jpeg in four colours": ("CMYK", "JPEG", {"progressive": True}),
    "jpeg": ("RGB", "JPEG", {"progressive": True}),
    "png": ("RGBA", "PNG", {}),
    "png of sixteen bits": ("I;16", "PNG", {}),
    "palette": ("P", "PNG", {}),
    "bitmap": ("RGB", "BMP", {}),
}


@pytest.mark.parametrize("kind", WORST)
def test_the_worst_picture_that_is_allowed_stays_small(tmp_path: Path, kind: str) -> None:
    from PIL import Image

    mode, form, options = WORST[kind]
    Image.new(mode, ALLOWED).save(tmp_path / "bomb", form, **options)
    said, mebibytes = decoding(tmp_path / "bomb")
    assert said == "24"
    assert mebibytes < LARGEST_PICTURE


ESCAPES = ["../x", "/tmp/x", "a/b", "..", ".", "..\\x", "C:\\x", "-rf", ".hidden", "con", "a\nb", "\x1b[31m", "x" * 300]


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--recipe", "res18", "--data", "{data}", "--run"],
        ["pretrain", "--data", "{data}", "--run"],
        ["ensemble", "b", "c", "--data", "{data}", "--run"],
        ["import", "outside.npz", "--data", "{data}", "--prefix"],
    ],
    ids=["train --run", "pretrain --run", "ensemble --run", "import --prefix"],
)
def test_a_name_given_to_an_option_makes_nothing_elsewhere(
    tmp_path: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    place = tmp_path / "inside" / "here"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    outside(place / "outside.npz", drawn_root)
    import_two_runs(drawn_root)
    before = snapshot(tmp_path)
    given = [argument.replace("{data}", str(drawn_root)) for argument in arguments]
    # A prefix is only the beginning of a name.
    names = [name for name in ESCAPES if arguments[0] != "import" or name != "con"]
    for name in names:
        assert run([*given, name]) == EXIT_USAGE, ascii(name)
    assert snapshot(tmp_path) == before


def outside(path: Path, root: Path, names: tuple[str, ...] = ("model",)) -> None:
    """Probabilities of the test split under these names."""
    from harness.data.scan import scan

    tracks = scan(root).split("test")
    frames = np.concatenate([track.frames for track in tracks])
    track = np.concatenate([np.full(len(track.frames), track.name) for track in tracks])
    values = np.full((len(frames), 8), 1 / 8, np.float32)
    arrays: dict[str, Any] = {"track": track, "frame": frames, **dict.fromkeys(names, values)}
    np.savez(path, **arrays)


def import_two_runs(root: Path) -> None:
    outside(Path("two.npz"), root, ("b", "c"))
    assert run(["import", "two.npz", "--data", str(root)]) == EXIT_DONE


def snapshot(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_what_a_name_says_to_the_terminal_is_shown_not_done(
    tmp_path: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    evil = "\x1b]0;owned\x07\x9b31m\u202egpj"
    outside(tmp_path / "outside.npz", drawn_root)
    with np.load("outside.npz") as arrays:
        content = dict(arrays)
    content["track"] = content["track"].astype("U40")
    content["track"][0] = evil
    np.savez("outside.npz", **content)
    (tmp_path / f"{evil}.yaml").write_text(f'"{evil}": 1\n')
    for arguments in (
        ["import", "outside.npz", "--data", str(drawn_root)],
        ["train", "--recipe", f"{evil}.yaml", "--data", str(drawn_root)],
        ["train", "--set", f"{evil}=1", "--data", str(drawn_root)],
        ["recipes", evil],
        ["weights", f"{evil}.pth"],
        ["validate", evil],
        ["predict", evil],
        ["evaluate", evil],
        ["doctor", evil],
        [evil],
        ["runs", evil],
    ):
        assert run(arguments) != 0, arguments[0]
        printed = "".join(capfd.readouterr())
        assert printed, arguments
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(printed), arguments


class Runs:
    """Makes its call when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def attacks(mark: Path) -> Iterator[tuple[str, bytes]]:
    """Ten files whose pickles make `mark`, in the forms that readers of weights and arrays take."""
    program = f"open({str(mark)!r}, 'w').close()"
    script = mark.with_suffix(".script")
    script.write_text(program)
    calls = [
        Runs(os.system, f"touch {mark}"),
        Runs(eval, program),
        Runs(exec, program),
        Runs(subprocess.check_call, ["touch", str(mark)]),
        Runs(runpy.run_path, str(script)),
        Runs(Path.touch, mark),
    ]
    for number, call in enumerate(calls):
        buffer = io.BytesIO()
        torch.save({"state_dict": {"w": torch.ones(2)}, "extra": call}, buffer)
        yield f"zip of torch {number}", buffer.getvalue()
    legacy = io.BytesIO()
    torch.save({"w": torch.ones(2), "x": calls[0]}, legacy, _use_new_zipfile_serialization=False)
    yield "old file of torch", legacy.getvalue()
    yield "bare pickle", pickle.dumps(calls[1], protocol=5)
    yield "pickle in letters", pickle.dumps(calls[0], protocol=0)
    array = io.BytesIO()
    np.save(array, np.array([calls[2]], dtype=object), allow_pickle=True)
    yield "npy", array.getvalue()
    arrays = io.BytesIO()
    hostile = np.array([calls[0]] * 3, dtype=object)
    np.savez(arrays, allow_pickle=True, track=hostile, frame=np.arange(3), model=hostile)
    yield "npz", arrays.getvalue()


def test_the_attacks_do_what_they_are_meant_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    monkeypatch.setattr(webbrowser, "open", lambda *_: False)
    mark = tmp_path / "mark"
    for name, data in attacks(mark):
        if name.startswith("npy"):
            np.load(io.BytesIO(data), allow_pickle=True)
        elif name.startswith("npz"):
            np.load(io.BytesIO(data), allow_pickle=True)["track"]
        elif "torch" in name:
            torch.load(io.BytesIO(data), weights_only=False)
        else:
            pickle.loads(data)
        assert mark.exists(), name
        mark.unlink()


@pytest.mark.parametrize(
    "arguments",
    [
        "import hostile.npz --data {data}",
        "weights hostile.pth",
        "weights hostile.safetensors --backbone res18",
        "train --recipe res18 --data {data} --run x --weights hostile.pth",
        "train --recipe hostile.yaml --data {data} --run x",
        "recipes hostile.yaml",
        "validate hostile.zip",
        "validate hostile.npz",
        "evaluate hostile.txt --data {data}",
        "predict a --sample hostile.txt",
        "predict a --video hostile.mp4 --face-model hostile.dat",
        "inspect hostile.txt video12",
        "folds --data {data} --from hostile.csv",
    ],
)
def test_no_option_that_takes_a_file_runs_what_is_in_it(
    tmp_path: Path, trained: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch, arguments: str
) -> None:
    shutil.copytree(trained / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    given = [word.replace("{data}", str(drawn_root)) for word in arguments.split()]
    paths = [word.partition("=")[2] or word for word in given if "hostile" in word]
    mark = tmp_path / "mark"
    count = 0
    for name, data in attacks(mark):
        for path in paths:
            (tmp_path / path).write_bytes(data)
        assert run(given) in (EXIT_DATA, EXIT_FINDINGS), name
        assert not mark.exists(), name
        count += 1
    assert count >= 10


# What each verb needs beside the option that is tried.
BESIDE = {
    "doctor": ["{data}", "--no-images"],
    "crop": ["hostile.mp4"],
    "pretrain": ["--set", "backbone=torchvision:shufflenet_v2_x0_5", "--set", "iterations=1"],
    "train": ["--recipe", "lite0"],
    "rehearse": ["--recipe", "lite0"],
    "crossval": ["--recipe", "lite0"],
    "sweep": ["--recipe", "lite0", "--setting", "iterations=1", "--seeds", "0"],
    "predict": ["a"],
    "audio": ["{data}", "--videos", "."],
    "features": ["a"],
    "probe": ["a"],
    "evaluate": ["a", "--split", "val"],
    "compare": ["a", "a"],
    "tune": ["a"],
    "ensemble": ["a", "a"],
    "import": ["--classes", "A,B"],
    "pack": [],
    "inspect": ["submissions/a", "t"],
    "report": ["a"],
    "weights": [],
    "reproduce": ["a"],
    "demo-data": [],
    "folds": [],
    "best": ["a"],
    "validate": [],
    "table1": [],
}
IN_PLACE_OF_ARGUMENTS = ("doctor", "crop")
"""Verbs whose own argument is tried alone, without what stands beside their options."""

TRAINS_OFTEN = ("sweep", "table1", "reproduce")


def path_parameters() -> list[tuple[str, click.Parameter]]:
    """Every option and argument of every verb that takes a path."""
    context = click.Context(harness)
    commands = [(verb, harness.get_command(context, verb)) for verb in VERBS]
    return [
        (verb, parameter)
        for verb, command in commands
        if command is not None
        for parameter in command.params
        if isinstance(parameter.type, click.Path)
    ]


def attempt(verb: str, parameter: click.Parameter, root: Path) -> list[str]:
    """Arguments by which a verb takes `hostile.dat` for this option or argument, with the data below `root`."""
    beside = [word.replace("{data}", str(root)) for word in BESIDE[verb]]
    if isinstance(parameter, click.Argument):
        return [verb, *([] if verb in IN_PLACE_OF_ARGUMENTS else beside), "hostile.dat"]
    return [verb, *(["hostile.dat"] if verb == "pack" else beside), parameter.opts[0], "hostile.dat"]


def test_there_are_paths_to_try_and_every_verb_that_takes_one_is_known() -> None:
    found = path_parameters()
    assert len(found) > 50
    assert {verb for verb, _ in found} <= set(BESIDE)


@pytest.mark.parametrize(
    ("verb", "parameter"),
    [
        pytest.param(*found, marks=pytest.mark.campaign if found[0] in TRAINS_OFTEN else pytest.mark.slow)
        for found in path_parameters()
    ],
    ids=lambda part: str(getattr(part, "name", part)),
)
def test_no_path_of_any_verb_runs_what_is_in_it(
    tmp_path: Path, trained: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch, verb: str, parameter: click.Parameter
) -> None:
    shutil.copytree(trained / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_DATA", str(drawn_root))
    mark = tmp_path / "mark"
    for name, data in attacks(mark):
        for path in ("hostile.dat", "hostile.mp4"):
            (tmp_path / path).write_bytes(data)
        run(attempt(verb, parameter, drawn_root))
        assert not mark.exists(), name
