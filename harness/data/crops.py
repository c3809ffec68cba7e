"""The bytes of one face image, wherever they are kept."""

from __future__ import annotations

from harness import files
from harness.data.packed import LARGEST_IMAGE_FILE, packed_bytes
from harness.data.tracks import Track


def image_bytes(track: Track, frame: int) -> bytes:
    """The JPEG or PNG bytes of a 1-based frame that is in `track.frames`, from the packed file of the track if it has one.

    Raises DataError naming the file if it cannot be read.
    """
    if track.packed is not None:
        return packed_bytes(track.packed, frame)
    return files.read_bytes(track.image_path(frame), LARGEST_IMAGE_FILE)
