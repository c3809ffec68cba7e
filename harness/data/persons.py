"""Who is in a recording, from a table: what is judged on a person must not be learned from the same person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import files
from harness.data.csv_table import read_columns
from harness.data.tracks import Track
from harness.errors import DataError, MismatchError, first_of

LARGEST_FILE = 16 * 1024 * 1024


@dataclass(frozen=True)
class Persons:
    """The person of each recording or track.

    Attributes
    ----------
    name, sha256 : of the file, without its folder.
    person_of : recording or track -> person.
    """

    name: str
    sha256: str
    person_of: Mapping[str, str]

    def of(self, track: Track) -> str | None:
        """The person of a track, by its own name or else by its recording's."""
        return self.person_of.get(track.name, self.person_of.get(track.recording))


def read_persons(path: str | Path) -> Persons:
    """Reads a CSV with the columns person and recording or track.

    Raises DataError naming the line for what is no such table, and a recording with two persons.
    """
    path = Path(path)
    data = files.read_bytes(path, LARGEST_FILE)
    columns, table = read_columns(data, path)
    key = next((name for name in ("recording", "track") if name in columns), None)
    if key is None or "person" not in columns:
        raise DataError("not a table of persons", path=path, line=1, found=",".join(columns)[:80], expected="recording,person")
    person_of: dict[str, str] = {}
    for line, row in table:
        name, person = row[key], row["person"]
        if not name or not person or person_of.get(name, person) != person:
            raise DataError("a recording has one person", path=path, line=line, found=f"{name},{person}"[:80])
        person_of[name] = person
    return Persons(path.name, files.sha256_of_bytes(data), person_of)


def by_person(tracks: Sequence[Track], persons: Persons) -> tuple[Track, ...]:
    """The tracks with their person in place of their recording. Raises MismatchError naming tracks without one."""
    found = [(track, persons.of(track)) for track in tracks]
    missing = [track.name for track, person in found if person is None]
    if missing:
        raise MismatchError("the table of persons leaves tracks out", path=persons.name, found=first_of(missing))
    return tuple(replace(track, recording=person) for track, person in found if person is not None)
