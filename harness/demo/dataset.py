"""The embedded data set: its cast, and how it is made, recognised and made again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness import files
from harness.demo import layout
from harness.demo.landmarks import portraits
from harness.demo.performance import Gap, Performance, Role, perform
from harness.errors import DataError, MismatchError
from harness.progress import TaskProgress

VERSION = 2  # of the data set: any change of its bytes that does not come from another seed is a new version
MANIFEST = "demo-data.json"
ORIGIN = "ORL faces, AT&T Laboratories Cambridge, moved by the facial action units of harness/demo/action_units.py"

# Frames per second of the recordings. Both are real in Aff-Wild2, at its slow end: few pictures then cover many seconds.
FRAME_RATES = (7.5, 6.0)
ACTS = 4  # expressions in a track
ACT_SECONDS = 4.6  # on average, with the rest around it
CAST_SEED = 1  # of who is in which split, and how long tracks are
PERSONS = {"train": 24, "val": 7, "test": 9}  # a person acts in one split only
SECOND_TRACKS = 8  # so many persons of the training split come in two recordings

# Names take the forms of Aff-Wild2's, one after the other; as there, the frame rate in a name is not the recording's.
NAME_FORMS = ("{}-30-1920x1080", "{}-25-1280x720", "{}-60-640x360-1", "{}", "video{}", "video{}_2")
GAPS = (Gap.NONE, Gap.INTERIOR, Gap.LEADING, Gap.NONE, Gap.TRAILING, Gap.INTERIOR, Gap.NONE)
UNSEEN_SECONDS = 4.6  # the length of the test track without any face


@dataclass(frozen=True)
class EmbeddedData:
    """What `make` did: the folder, whether it was written just now, and how much it holds."""

    path: Path
    written: bool
    tracks: int
    images: int


def cast() -> list[Role]:
    """The roles of the embedded data set, a fixed list.

    Every person once, and SECOND_TRACKS training persons a second time; the last two validation tracks are the persons on the
    left and on the right of one recording; a further test track never shows its face.
    """
    rng = np.random.default_rng(CAST_SEED)
    persons = iter(rng.permutation(len(portraits())).tolist())
    roles: list[Role] = []
    for split, count in PERSONS.items():
        actors = [next(persons) for _ in range(count)]
        if split == "train":
            actors += actors[:SECOND_TRACKS]
        for place, person in enumerate(actors):
            number = len(roles) + 1
            recording = NAME_FORMS[place * len(NAME_FORMS) // len(actors)].format(number)
            rate = FRAME_RATES[place % 2]
            rows = int(ACTS * ACT_SECONDS * rate * (0.9 + 0.2 * rng.random()))
            roles.append(Role(recording, recording, split, person, rows, rate, GAPS[place % len(GAPS)], ACTS))
    validation = [number for number, role in enumerate(roles) if role.split == "val"]
    left, right = (roles[number] for number in validation[-2:])
    shared = replace(left, recording=right.recording, gap=Gap.NONE)
    roles[validation[-2]] = replace(shared, track=f"{right.recording}_left")
    roles[validation[-1]] = replace(shared, track=f"{right.recording}_right", person=right.person, gap=right.gap)
    unseen = f"video{len(roles) + 1}"
    roles.append(Role(unseen, unseen, "test", 0, int(UNSEEN_SECONDS * FRAME_RATES[0]), FRAME_RATES[0], Gap.TOTAL, 1))
    return roles


def make(path: str | Path, seed: int = 0, fresh: bool = False) -> EmbeddedData:
    """Makes the embedded data set in the folder `path`, whole or not at all, or finds it there unchanged.

    Raises
    ------
    MissingExtraError : the packages of the extra `demo` are not installed.
    MismatchError : the folder holds this data set of another seed or version, or with changed files, and `fresh` is not set.
    DataError : the folder holds something else, which is never replaced; or it cannot be written.
    """
    from harness.demo.faces import pictures, require_extra

    path = Path(path)
    files.refuse_nameless(path)
    performances = perform(cast(), seed)
    images = sum(int(performance.seen.sum()) for performance in performances)
    with files.lock(path.with_name(f".{path.name}.lock"), "the data set"):
        if _is_ours(path) and not fresh:
            differences = _differences(path, seed)
            if differences:
                raise MismatchError(
                    "this folder holds the embedded data set, but not as it would be made now",
                    path=path,
                    found=_first(differences),
                    remedy="--fresh makes it anew, --out makes another one elsewhere",
                )
            return EmbeddedData(path, False, len(performances), images)
        require_extra()
        files.remove_temporaries(path.parent)
        with files.writing_directory(path) as root, TaskProgress("demo data", images, "image") as bar:

            def counted(performance: Performance) -> layout.Pictures:
                for picture in pictures(performance):
                    yield picture
                    bar.update()

            layout.write(root, performances, counted)
            layout.write_other_challenges(root, performances)
            files.write_json(root / MANIFEST, {"version": VERSION, "seed": seed, "origin": ORIGIN, "files": _hashes(root)})
    return EmbeddedData(path, True, len(performances), images)


def _is_ours(path: Path) -> bool:
    """Whether `path` is an embedded data set; False where there is nothing. Raises DataError for anything else."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return False
    if not (path / MANIFEST).is_file():
        raise DataError(
            "something else is here already, and it is not replaced",
            path=path,
            expected=f"nothing, an empty folder, or an embedded data set with its {MANIFEST}",
            remedy="choose another folder with --out",
        )
    return True


def _differences(path: Path, seed: int) -> list[str]:
    """What makes the data set in `path` another one than this version's with this seed; empty if nothing does."""
    manifest = files.read_json(path / MANIFEST)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        return [f"{MANIFEST} is damaged"]
    expected = {"version": VERSION, "seed": seed}
    differences = [f"{key} {manifest.get(key)}, now {value}" for key, value in expected.items() if manifest.get(key) != value]
    recorded, present = manifest["files"], _hashes(path)
    differences += [f"{name} is absent" for name in sorted(recorded.keys() - present.keys())]
    differences += [f"{name} is not of this data set" for name in sorted(present.keys() - recorded.keys())]
    return differences + [
        f"{name} was changed" for name in sorted(recorded) if name in present and recorded[name] != present[name]
    ]


def _hashes(root: Path) -> dict[str, str]:
    """The sha256 of every image and text file of a data root by its place; what other verbs keep there is left out."""
    owned = (
        layout.CROPS,
        layout.ALL_ANNOTATIONS,
        layout.LISTS,
        layout.SAMPLES,
        layout.TEST_LABELS,
        *(kept for _, _, kept, *_ in layout.OTHERS),
        Path(layout.MULTITASK_TEST_LABELS).parent.name,
        layout.FRAME_RATES,
    )
    paths = [
        path for name in owned for path in (root / name, *(root / name).rglob("*")) if path.suffix in (".jpg", ".txt", ".csv")
    ]
    return {path.relative_to(root).as_posix(): files.sha256(path) for path in paths if path.is_file()}


def _first(differences: list[str]) -> str:
    shown = "; ".join(differences[:3])
    return shown if len(differences) <= 3 else f"{shown}; and {len(differences) - 3} more"
