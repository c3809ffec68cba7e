"""Whether a track's images are still the ones its scores were made from."""

from __future__ import annotations

import hashlib
import os

from harness.data.crops import image_bytes
from harness.data.tracks import Track
from harness.errors import DataError


def stamp(track: Track) -> str:
    """A digest over the frame numbers and the name, size and time of change of each image: cheap, and changes when they do."""
    digest = hashlib.sha256(track.frames.astype("<i4").tobytes())
    if track.packed is not None:
        status = track.packed.stat()
        digest.update(f"packed {status.st_size} {status.st_mtime_ns}".encode())
    elif len(track.frames):
        wanted = {track.image_path(int(frame)).name for frame in track.frames}
        with os.scandir(track.directory) as entries:
            there = {entry.name: entry.stat() for entry in entries if entry.name in wanted}
        for name in sorted(there):
            digest.update(f"{name} {there[name].st_size} {there[name].st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def images_digest(track: Track) -> str:
    """sha256 over the sha256 of each image's bytes, in frame order; reads every image. Same as the scorer's own."""
    digests = []
    for frame in track.frames:
        try:
            digests.append(hashlib.sha256(image_bytes(track, int(frame))).digest())
        except DataError:
            digests.append(bytes(32))
    return hashlib.sha256(b"".join(digests)).hexdigest()
