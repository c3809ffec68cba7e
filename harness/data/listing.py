"""Which frames have an image: reads the names in one folder of crops."""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError

# At most nine digits, so that every number fits an int32.
_IMAGE = re.compile(r"([0-9]{1,9})(\.(?:jpe?g|png))", re.IGNORECASE | re.ASCII)
_PICTURE = re.compile(r"[^.].*\.(?:jpe?g|png|bmp|webp|tiff?)", re.IGNORECASE)
_OFFICIAL_LENGTH = len("00001.jpg")
_OFFICIAL_SUFFIXES = (".jpg", ".png")
# So many names show which suffix a folder uses; the images of another one are still found, one by one.
_ENOUGH_NAMES = 50


@dataclass(frozen=True, eq=False)
class Listing:
    """The names in one folder.

    Attributes
    ----------
    frames : (S,) int32, sorted numbers of the images; each number once.
    suffix : suffix of the images named in the official way, five digits.
    odd_names : names of the images named in another way, by number.
    repeated : names of images whose number another image already has.
    pictures : names of images without a number.
    others : all other names that are not folders: text files, junk.
    folders : names of the folders in it.
    linked : whether any of `others` or `folders` is a link. What it leads to, and whether it leads anywhere, may change while
        the folder itself does not.
    """

    frames: NDArray[np.int32]
    suffix: str = ".jpg"
    odd_names: dict[int, str] = field(default_factory=dict)
    repeated: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    linked: bool = False

    def name_of(self, frame: int) -> str:
        """The file name of a frame that is in `frames`."""
        return self.odd_names.get(frame, f"{frame:05d}{self.suffix}")


def read_folder(directory: str | Path) -> Listing:
    """The names in a folder. Raises DataError if it cannot be listed."""
    try:
        listing = sort_names(os.listdir(directory))
    except OSError as error:
        raise DataError(f"cannot list the folder: {error.strerror}", path=directory) from error
    folders = {name for name in listing.others if os.path.isdir(os.path.join(directory, name))}
    return replace(
        listing,
        others=tuple(name for name in listing.others if name not in folders),
        folders=tuple(name for name in listing.others if name in folders),
        linked=any(os.path.islink(os.path.join(directory, name)) for name in listing.others),
    )


def sort_names(names: list[str]) -> Listing:
    """Sorts names into numbered images and the rest; folders are among `others`."""
    suffix = max(_OFFICIAL_SUFFIXES, key=lambda suffix: sum(name.endswith(suffix) for name in names[:_ENOUGH_NAMES]))
    likely = [name for name in names if len(name) == _OFFICIAL_LENGTH]
    rest = [name for name in names if len(name) != _OFFICIAL_LENGTH] if len(likely) < len(names) else []
    characters = np.frombuffer("".join(likely).encode("ascii", "replace"), np.uint8).reshape(-1, _OFFICIAL_LENGTH)
    digits = characters[:, :5] - np.uint8(ord("0"))
    official = (digits <= 9).all(axis=1) & (characters[:, 5:] == np.frombuffer(suffix.encode("ascii"), np.uint8)).all(axis=1)
    rest.extend(itertools.compress(likely, ~official))
    frames = np.sort(digits[official] @ np.array([10_000, 1_000, 100, 10, 1], np.int32))
    return _with_rest(frames, suffix, sorted(rest)) if rest else Listing(frames, suffix)


def _with_rest(official: NDArray[np.int32], suffix: str, rest: list[str]) -> Listing:
    odd_names: dict[int, str] = {}
    repeated: list[str] = []
    pictures: list[str] = []
    others: list[str] = []
    more: dict[int, str] = {}
    for name in rest:
        match = _IMAGE.fullmatch(name)
        if match is None:
            (pictures if _PICTURE.fullmatch(name) else others).append(name)
        elif int(match[1]) in more or int(match[1]) in official:
            repeated.append(name)
        else:
            more[int(match[1])] = name
    odd_names = {number: name for number, name in more.items() if name != f"{number:05d}{suffix}"}
    frames = np.sort(np.concatenate([official, np.array(list(more), np.int32)]))
    return Listing(frames, suffix, odd_names, tuple(repeated), tuple(pictures), tuple(others))
