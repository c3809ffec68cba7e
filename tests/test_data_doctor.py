"""The doctor: counts of every kind, damaged and repeated images, and that kept results about images are dated and verified."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import harness.data.image_audit
from harness.challenge import AU, CE, EXPR, MTL, VA, Challenge
from harness.data import tables
from harness.data.doctor import Examination, Options, examine
from harness.data.image_audit import ImageMarks, marks_of, shared_images
from harness.data.image_files import UnreadableImageError
from harness.data.page import page
from harness.data.scan import survey
from harness.data.totals import Totals, differ, official, totals
from harness.demo.drawn import write_drawn_root
from tests.data_roots import EDITIONS, TRACKS, Made, age, make_root, write, write_labels

FOLDER = Path("cropped_aligned")


@cache
def face(seed: int, size: int = 112, kind: str = "JPEG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def image(name: str, frame: int) -> bytes:
    return face(sum(name.encode()) * 1000 + frame)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "root", image=image)


def look(root: Path, **options: Any) -> Examination:
    return examine(root, Options(**options))


def found(examination: Examination, code: str) -> list[tuple[str, str]]:
    return [(Path(finding.file).name, finding.found) for finding in examination.findings.of(code)]


def test_a_sound_root_has_no_errors_and_its_counts(root: Path) -> None:
    examination = look(root)
    assert not examination.findings.has_errors
    rows = {row["split"]: row for row in tables.split_table(examination)}
    assert {key: rows["val"][key] for key in ("tracks", "recordings", "rows", "seen", "missing", "labelled")} == {
        "tracks": 3,
        "recordings": 3,
        "rows": 12,
        "seen": 11,
        "missing": 1,
        "labelled": 9,
    }
    assert rows["val"]["images_beyond_rows"] == 2
    assert rows["val"]["frames_of_class"] == [3, 1, 1, 1, 1, 1, 1, 0]
    assert rows["val"]["rows_less_largest_image"] == {"0": 3}
    assert (rows["train"]["tracks"], rows["train"]["recordings"]) == (6, 4)
    # Labelled frames without an image: 10-60-1280x720 1 and 3, video2 4 and 5, video2_left 1 and 2.
    assert rows["train"]["labelled_without_image"] == 6
    assert rows["train"]["tracks_without_images"] == 1
    assert rows["train"]["rows_less_largest_image"] == {"0": 3, "+1": 1, "+2": 1}
    assert (rows["test"]["rows"], rows["test"]["seen"], rows["test"]["labelled"]) == (9, 6, 0)
    assert rows["test"]["rows_from"] == {"sample": 3}
    assert tables.numbering(examination) == {"0": 0, "1": 8, "above": 3}
    assert sum(one["missing"] for one in tables.track_table(examination)) == sum(row["missing"] for row in rows.values())


def test_the_longest_gap_of_a_track_counts_both_ends(root: Path) -> None:
    gaps = {one["track"]: one["longest_gap"] for one in tables.track_table(look(root, images=False))}
    assert (gaps["video2"], gaps["10-60-1280x720"], gaps["video2_left"], gaps["102-30-640x360-1"]) == (2, 1, 2, 0)


def test_damaged_odd_and_resized_images_are_named(root: Path) -> None:
    track = root / FOLDER / "102-30-640x360-1"
    (track / "00001.jpg").write_bytes(b"")
    (track / "00002.jpg").write_bytes(face(1)[:-30])
    (track / "00003.jpg").write_bytes(b"<html>gone</html>")
    (track / "00004.jpg").write_bytes(face(1, kind="PNG"))
    (track / "00005.jpg").write_bytes(face(1, size=30))
    examination = look(root)
    damaged = found(examination, "DAMAGED_IMAGE")
    assert [name for name, _ in damaged] == ["00001.jpg", "00002.jpg", "00003.jpg"]
    assert ["empty" in damaged[0][1], "cut off" in damaged[1][1], "neither" in damaged[2][1]] == [True] * 3
    assert found(examination, "ODD_IMAGE") == [("00004.jpg", "a PNG file by its bytes")]
    assert found(examination, "OTHER_SIZE") == [("102-30-640x360-1", "1 of 30 x 30")]
    assert examination.findings.has_errors


def test_crops_that_are_not_aligned_may_have_any_size(tmp_path: Path) -> None:
    root = make_root(tmp_path, crops="batches", image=lambda name, frame: face(frame, size=20 + frame))
    assert found(look(root, crops="cropped"), "OTHER_SIZE") == []


def test_of_many_damaged_images_all_are_counted_and_some_are_named(tmp_path: Path) -> None:
    root = make_root(tmp_path, [Made("a", "train", [0] * 300, range(1, 301))], image=lambda name, frame: b"")
    examination = look(root)
    assert examination.findings.total("DAMAGED_IMAGE") == 300
    assert len(examination.findings.of("DAMAGED_IMAGE")) == 20


def test_images_with_the_bytes_of_the_frame_before_are_counted(tmp_path: Path) -> None:
    same = {2: 1, 3: 1, 6: 5, 9: 7}
    root = make_root(
        tmp_path, [Made("a", "train", [0] * 9, [1, 2, 3, 4, 5, 6, 7, 9])], image=lambda name, frame: face(same.get(frame, frame))
    )
    assert found(look(root), "REPEATED_BYTES") == [("a", "3 images, first 00002.jpg, at most 3 frames in a row")]


def test_two_tracks_with_the_same_images_are_named(root: Path) -> None:
    shutil.rmtree(root / FOLDER / "video2")
    shutil.copytree(root / FOLDER / "102-30-640x360-1", root / FOLDER / "video2")
    assert found(look(root), "SAME_IMAGES") == [("102-30-640x360-1", "as video2")]


@pytest.mark.parametrize(("size", "found_text"), [(112, None), (224, "30 of 30 images are 224 x 224")])
def test_aligned_crops_of_another_size_than_the_official_are_named(tmp_path: Path, size: int, found_text: str | None) -> None:
    root = make_root(tmp_path, image=lambda name, frame: face(frame, size))
    findings = look(root).findings.of("NOT_OFFICIAL_SIZE")
    assert [(finding.found, finding.expected) for finding in findings] == ([(found_text, "112 x 112")] if found_text else [])


def test_crops_that_are_not_aligned_or_are_ones_own_are_held_to_no_official_size(tmp_path: Path) -> None:
    root = make_root(tmp_path, crops="batches", image=lambda name, frame: face(frame, 60))
    assert found(look(root, crops="cropped"), "NOT_OFFICIAL_SIZE") == []
    (tmp_path / "cropped/batch1").rename(tmp_path / "mine")
    assert found(look(root, crops="mine"), "NOT_OFFICIAL_SIZE") == []


def test_images_in_tracks_of_two_splits_are_named_whatever_their_numbers(tmp_path: Path) -> None:
    def pixels(name: str, frame: int) -> bytes:
        # Frames 21 to 30 of b are frames 1 to 10 of a; four of c are of a too; all of d is of b; e is of a's own split.
        other = {
            "b": ("a", frame - 20, frame > 20),
            "c": ("a", frame + 5, frame <= 4),
            "d": ("b", 6 - frame, True),
            "e": ("a", frame, True),
        }
        source, number, borrowed = other.get(name, ("", 0, False))
        return image(source, number) if borrowed else image(name, frame)

    tracks = [
        Made("a", "train", [0] * 30, range(1, 31)),
        Made("b", "val", [0] * 30, range(1, 31)),
        Made("c", "val", [0] * 30, range(1, 31)),
        Made("d", "test", [0] * 3, [1, 2, 3]),
        Made("e", "train", [0] * 8, range(1, 9)),
    ]
    examination = look(make_root(tmp_path, tracks, image=pixels))
    assert found(examination, "SHARED_IMAGES") == [
        ("a", "10 of its images, in train, are also in b, in val"),
        ("b", "3 of its images, in val, are also in d, in test"),
        ("e", "8 of its images, in train, are also in b, in val"),
    ]
    assert found(examination, "SAME_IMAGES") == []


def test_an_image_of_many_tracks_is_a_placeholder_and_no_leak(tmp_path: Path) -> None:
    tracks = [Made(f"v{k}", "train" if k % 2 else "val", [0], [1]) for k in range(11)]
    assert found(look(make_root(tmp_path, tracks, image=lambda name, frame: face(0))), "SHARED_IMAGES") == []


@given(st.lists(st.sets(st.integers(0, 40), max_size=12), max_size=6))
def test_shared_images_are_those_in_both_sets(sets: list[set[int]]) -> None:
    def marks(numbers: set[int]) -> NDArray[np.uint64]:
        collected = ImageMarks()
        for number in [*numbers, *numbers]:
            collected.add(str(number).encode())
        return marks_of(collected.as_text())

    shared = shared_images({str(index): marks(numbers) for index, numbers in enumerate(sets)})
    expected = {
        (str(one), str(other)): len(sets[one] & sets[other])
        for one in range(len(sets))
        for other in range(one + 1, len(sets))
        if sets[one] & sets[other]
    }
    assert shared == expected


def test_decoding_finds_what_the_outside_of_a_file_does_not_show(root: Path) -> None:
    def refuse(data: bytes) -> None:
        if data == image("101", 2):
            raise UnreadableImageError("bad pixels")

    assert not look(root).findings.has_errors
    assert found(look(root, check=refuse), "DAMAGED_IMAGE") == [("00002.jpg", "bad pixels")]


def test_kept_results_are_dated_and_verify_reads_the_images_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    age(root)
    first = look(root)
    assert not first.findings.has_errors
    path = root / FOLDER / "101/00002.jpg"
    path.write_bytes(b"\0" * path.stat().st_size)
    kept = look(root)
    assert not kept.findings.has_errors
    day = next(iter(kept.audits.values())).read_on
    assert f"read without decoding on {day}" in page(kept)
    assert found(look(root, verify=True), "DAMAGED_IMAGE")[0][0] == "00002.jpg"
    assert found(look(root), "DAMAGED_IMAGE")[0][0] == "00002.jpg"


def test_a_second_look_reads_only_the_folders_that_changed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    age(root)
    first = look(root)
    (root / FOLDER / "101/00003.jpg").write_bytes(b"x")
    read: list[str] = []
    original = harness.data.image_audit.audit_folder

    def spy(directory: Path, *rest: Any) -> Any:
        read.append(directory.name)
        return original(directory, *rest)

    monkeypatch.setattr(harness.data.image_audit, "audit_folder", spy)
    second = look(root)
    assert read == ["101"]
    assert {name: audit for name, audit in second.audits.items() if name != "101"} == {
        name: audit for name, audit in first.audits.items() if name != "101"
    }
    assert found(second, "DAMAGED_IMAGE")[0][0] == "00003.jpg"


def test_kept_results_without_decoding_do_not_stand_in_for_decoding(root: Path) -> None:
    age(root)
    look(root)
    seen: list[bytes] = []
    look(root, check=seen.append)
    assert len(seen) == sum(len(track.frames) for track in TRACKS if track.split)
    look(root, check=seen.append)
    assert len(seen) == sum(len(track.frames) for track in TRACKS if track.split)


def test_rows_far_from_the_decoded_frames_are_a_warning(root: Path) -> None:
    write(root / "frame_rates.csv", "recording,fps,frames\n102-30-640x360-1,30,11\nvideo2,25,3\n101,25,3\nvideo92,30,4\n")
    examination = look(root, images=False)
    assert [text for _, text in found(examination, "ROWS_AND_FRAMES")] == ["102-30-640x360-1: 8 rows"]
    rows = {row["split"]: row["rows_less_decoded_frames"] for row in tables.split_table(examination)}
    assert rows == {"train": {"-1": 1, "+2": 1}, "val": {"-3": 1, "-1": 1}, "test": {"0": 1}}


def test_recordings_without_a_frame_rate_are_counted(root: Path) -> None:
    write(root / "frame_rates.csv", "recording,fps\nvideo2,25\n")
    assert found(look(root, images=False), "NO_FRAME_RATES") == [("frame_rates.csv", "9 of 10 recordings, first 10-60-1280x720")]


def test_the_file_of_both_splits_counts_twice_in_totals_and_once_in_the_table(root: Path) -> None:
    write_labels(root / EDITIONS["5"].annotations / "Train_Set" / "102-30-640x360-1.txt", [-1, 0, 1, 2, 3, 4, 5, 6])
    examination = look(root, images=False)
    report = tables.as_json(examination)
    assert report["totals"]["train"]["files"] == 7
    assert report["splits"][0]["tracks"] == 6
    assert report["totals"]["train"]["rows"] - report["splits"][0]["rows"] == 8
    assert "102-30-640x360-1" in page(examination)


# Files, lines, and labelled lines of each group of fields, as teams printed or counted them; None was never published.
PUBLISHED: dict[Challenge, dict[str, tuple[int | None, int | None, tuple[int, ...]]]] = {
    EXPR: {"train": (248, 1_110_367, (597_361,)), "val": (70, 453_535, (284_230,)), "test": (228, 1_022_655, ())},
    VA: {"train": (356, 1_682_057, (1_679_857,)), "val": (76, 383_814, (382_021,)), "test": (162, 927_210, ())},
    AU: {"train": (295, None, (1_359_523,)), "val": (105, None, (445_845,)), "test": (141, 729_736, ())},
    MTL: {
        "train": (257, 142_382, (103_917, 90_645, 103_316)),
        "val": (50, 26_876, (26_876, 15_440, 26_876)),
        "test": (None, 51_159, ()),
    },
    CE: {"test": (56, 26_145, ())},
}


@pytest.mark.parametrize("challenge", PUBLISHED, ids=lambda challenge: challenge.name)
def test_official_totals_are_those_published(challenge: Challenge) -> None:
    found = {split: (one.files, one.rows, one.labelled) for split, one in official(challenge).items()}
    assert found == PUBLISHED[challenge]
    for one in official(challenge).values():
        assert not one.frames or sum(one.frames) == one.labelled[0]


@pytest.fixture(scope="module")
def all_challenges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_drawn_root(tmp_path_factory.mktemp("all") / "root", tracks=(3, 2, 2), rows=60, other_challenges=True)


def lines_of(folder: Path) -> list[list[str]]:
    return [line.split(",") for path in sorted(folder.glob("*.txt")) for line in path.read_text().splitlines()[1:]]


def test_totals_of_other_challenges_are_the_lines_of_their_files(all_challenges: Path) -> None:
    annotations = all_challenges / "5th_ABAW_Annotations"
    values = lines_of(annotations / "VA_Estimation_Challenge" / "Train_Set")
    found = totals(survey(all_challenges, challenge=VA), "train")
    assert (found.files, found.rows) == (3, len(values))
    assert found.labelled == (sum(line[0] != "-5" for line in values),)
    assert found.frames[2] == sum(-0.2 <= float(line[0]) < 0.2 for line in values)
    units = lines_of(annotations / "AU_Detection_Challenge" / "Validation_Set")
    found = totals(survey(all_challenges, challenge=AU), "val")
    assert (found.files, found.rows, found.labelled) == (2, len(units), (len(units),))
    assert found.frames == tuple(sum(line[unit] == "1" for line in units) for unit in range(12))


def test_totals_of_the_multi_task_files_count_each_repeat(all_challenges: Path) -> None:
    path = all_challenges / "5th_ABAW_Annotations" / "MTL_Challenge" / "training_set_annotations.txt"
    lines = [line.split(",") for line in path.read_text().splitlines()[1:]]
    assert len({line[0] for line in lines}) < len(lines)
    found = totals(survey(all_challenges, challenge=MTL), "train")
    assert (found.files, found.rows) == (3, len(lines))
    assert found.labelled == (sum(line[1] != "-5" for line in lines), sum(line[3] != "-1" for line in lines), len(lines))


@pytest.mark.parametrize(
    ("name", "value", "is_other"), [("files", 5, True), ("rows", None, False), ("labelled", (7,), True), ("frames", (), False)]
)
def test_only_what_was_published_is_compared(name: str, value: object, is_other: bool) -> None:
    here = Totals(4, 100, (60,), (10, 20, 30))
    assert not differ(here, here)
    assert differ(here, replace(here, **{name: value})) == is_other  # type: ignore[arg-type]


@pytest.mark.parametrize("challenge", [VA, AU, MTL], ids=lambda challenge: challenge.name)
def test_the_page_and_the_json_of_another_challenge_show_its_parts_beside_what_was_published(
    all_challenges: Path, challenge: Challenge
) -> None:
    examination = examine(all_challenges, Options(images=False, challenge=challenge))
    shown = {line.rsplit(maxsplit=4)[0].strip(): line.split()[-4:] for line in page(examination).splitlines() if len(line) == 80}
    of_train = PUBLISHED[challenge]["train"]
    assert shown["label files"][:2] == ["3", f"{of_train[0]:,}"]
    assert shown["label lines"][1] == ("-" if of_train[1] is None else f"{of_train[1]:,}")
    report = tables.as_json(examination)
    assert report["challenge"] == challenge.name
    strata = {name: place for place, name in enumerate(report["classes"])}
    for name, place in strata.items():
        here, published = shown[name][:2]
        assert (here, published) == (f"{report['totals']['train']['frames'][place]:,}", "-")
    found = examination.findings.of("NOT_OFFICIAL_TOTALS")
    assert len(found) == 3
    assert f"{of_train[2][0]:,} {'valence' if challenge is MTL else 'labelled'}" in found[0].expected
    # A frame that the multi-task lists do not ask for is not missing.
    counts = report["splits"][0]
    assert counts["rows"] == counts["seen"] + counts["missing"]
    if challenge.name == "MTL":
        assert counts["missing"] == 0


def test_json_holds_every_finding_and_every_track(root: Path) -> None:
    (root / FOLDER / "101/00002.jpg").write_bytes(b"")
    report = tables.as_json(look(root))
    assert len(report["tracks"]) == 12
    assert report["counts"]["DAMAGED_IMAGE"] == 1
    assert {finding["severity"] for finding in report["findings"]} >= {"error", "warning"}
    assert all(finding["remedy"] for finding in report["findings"])


@pytest.mark.realdata
def test_every_count_of_the_real_split_table_comes_out(real_data: Path) -> None:
    examination = look(real_data / "faces")
    rows = {row["split"]: row for row in tables.split_table(examination)}
    counts = {split: (row["tracks"], row["labelled"], row["rows"], row["seen"]) for split, row in rows.items()}
    assert counts == {"train": (460, 4124, 4240, 4124), "val": (220, 1400, 1441, 1400), "test": (229, 0, 1422, 1379)}
    assert rows["train"]["frames_of_class"] == [2136, 137, 8, 8, 1543, 74, 213, 5]
    assert rows["val"]["frames_of_class"] == [739, 45, 2, 2, 514, 25, 71, 2]
    assert sum(row["tracks_with_gaps"] for row in rows.values()) == 126
    images = tables.image_table(examination)
    assert images is not None
    assert (images["images"], images["sizes"], images["damaged"]) == (6903, {"112 x 112": 6903}, 0)
