"""The bytes of a track's face images, wherever they are kept, and whether they are still the same."""

from __future__ import annotations

import hashlib
import os

from harness import files
from harness.data.disk import version_of
from harness.data.packed import LARGEST_IMAGE_FILE, packed_bytes
from harness.data.tracks import Track
from harness.errors import DataError


def image_bytes(track: Track, frame: int) -> bytes:
    """The JPEG or PNG bytes of a 1-based frame that is in `track.frames`, from the packed file of the track if it has one.

    Raises DataError naming the file if it cannot be read.
    """
    if track.packed is not None:
        return packed_bytes(track.packed, frame)
    return files.read_bytes(track.image_path(frame), LARGEST_IMAGE_FILE)


def images_stamp(track: Track) -> str:
    """A digest over the frame numbers and the name, size, times and inode of each image: cheap, and changes when they do."""
    digest = hashlib.sha256(track.frames.astype("<i4").tobytes())
    if track.packed is not None:
        digest.update(f"packed {version_of(track.packed.stat())}".encode())
    elif len(track.frames):
        wanted = {track.image_path(int(frame)).name for frame in track.frames}
        with os.scandir(track.directory) as entries:
            there = {entry.name: version_of(entry.stat()) for entry in entries if entry.name in wanted}
        for name in sorted(there):
            digest.update(f"{name} {there[name]}\n".encode("utf-8", "surrogateescape"))
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
