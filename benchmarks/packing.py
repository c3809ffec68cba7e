"""Reading packed crops and single files when neither is in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import materials
from benchmarks.bench import Bench
from benchmarks.figures import Figure, measured
from benchmarks.rounds import alternate, ratios
from harness.data import packed
from harness.data.crops import image_bytes
from harness.data.scan import survey
from harness.data.tracks import Track

LENGTHS = (400, 300, 200, 100)
DROP = Path("/proc/sys/vm/drop_caches")


def measure(bench: Bench) -> Iterator[Figure]:
    """Images per second, read in the order of frames by one process."""
    place = materials.write_root(bench.folder / "data", {"test": LENGTHS}, materials.pictures())
    single = survey(place, use_cache=False)
    for _ in packed.pack_root(place.absolute(), materials.CROPS, single.folders, False, materials.silent):
        pass
    together = survey(place, use_cache=False).data.tracks
    assert all(track.packed is not None for track in together)
    sides = {"single": lambda: _read(single.data.tracks), "packed": lambda: _read(together)}
    files = [path for path in place.rglob("*") if path.is_file()]
    files += list(packed.folder_of_packed(place.absolute(), materials.CROPS).rglob("*.crops"))
    os.sync()
    how = "caches dropped" if _drop(files) else "posix_fadvise DONTNEED on each file"
    forget = dict.fromkeys(sides, lambda: _forget(files))
    cold = alternate(bench.rounds, bench.clock, sides, forget)
    warm = alternate(bench.rounds, bench.clock, sides)
    assert [image_bytes(one, 1) for one in single.data.tracks] == [image_bytes(one, 1) for one in together]
    for name, rates in (("cold", cold), ("warm", warm)):
        note = how if name == "cold" else "everything in memory"
        yield measured(f"single files, {name}", "images/s", rates["single"], note)
        yield measured(f"packed crops, {name}", "images/s", rates["packed"], f"{note}; checksums compared")
        yield measured(f"packed crops, {name}, times single files", "", ratios(rates["packed"], rates["single"]))


def _read(tracks: Sequence[Track]) -> float:
    packed._files.clear()
    count = 0
    for track in tracks:
        for frame in track.frames.tolist():
            count += bool(image_bytes(track, frame))
    return count


def _drop(files: Sequence[Path]) -> bool:
    """Asks the system to forget all clean pages and names; whether it may be asked."""
    try:
        DROP.write_text("3")
    except OSError:
        _advise(files)
        return False
    return True


def _advise(files: Sequence[Path]) -> None:
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _forget(files: Sequence[Path]) -> None:
    _drop(files)
