"""The validator on broken, valid and mutated submissions."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from harness.challenge import FORMATS, Format, format_of
from harness.data.sample import Rows, image_name
from harness.errors import DataError
from harness.findings import KEPT, Findings, as_json
from harness.submission import table
from harness.submission.catalogue import KINDS
from harness.submission.checks import Verdict, check
from harness.submission.compare import compare_size
from harness.submission.expected import from_sample, from_table
from harness.submission.header import guess
from harness.submission.plausible import check_plausibility
from harness.submission.record import parse_record, record_content
from tests import broken_wholes
from tests.broken_submissions import Case, bases, file_set_faults, line_faults, lines_of, valid, with_bytes, with_lines
from tests.broken_wholes import recorded, tarred, zipped
from tests.strict_reference import accepts

# One edition of each challenge, number of classes and layout; the others are the same but for their names.
DISTINCT = list({(form.challenge, form.layout): form for form in FORMATS}.values())
OTHERS = [form for form in FORMATS if form not in DISTINCT]
WHOLES = (
    broken_wholes.archive_faults,
    broken_wholes.record_faults,
    broken_wholes.unchecked_faults,
    broken_wholes.partly_checked_faults,
    broken_wholes.repeated_images,
    broken_wholes.two_answers,
    broken_wholes.suspicious,
    broken_wholes.limits,
)


def checked(case: Case, folder: Path, number: int) -> Verdict:
    """Writes the case into a folder of its own and checks it."""
    place = folder / str(number)
    place.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in case.limits.items():
            patch.setattr(table, name, value)
        return check(case.write(place), case.expected, **case.options)


def assert_found_exactly(cases: list[Case], folder: Path) -> None:
    wrong = []
    for number, case in enumerate(cases):
        verdict = checked(case, folder, number)
        found = {(finding.kind.code, finding.file, finding.line) for finding in verdict.findings}
        if found != set(case.found):
            wrong.append(f"{case.name}: found {sorted(found, key=str)}, expected {sorted(case.found, key=str)}")
    assert not wrong, "\n".join(wrong[:10])


def broken_of(forms: list[Format]) -> list[Case]:
    return [case for form in forms for maker in (line_faults, file_set_faults) for case in maker(valid(form))]


@pytest.mark.parametrize("form", DISTINCT, ids=lambda form: form.name)
def test_every_broken_submission_gives_exactly_its_codes_at_its_lines(form: Format, tmp_path: Path) -> None:
    assert_found_exactly(broken_of([form]), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("form", OTHERS, ids=lambda form: form.name)
def test_every_broken_submission_of_the_other_editions_gives_exactly_its_codes(form: Format, tmp_path: Path) -> None:
    assert_found_exactly(broken_of([form]), tmp_path)


@pytest.mark.parametrize("maker", WHOLES, ids=lambda maker: maker.__name__)
def test_faults_of_whole_submissions_give_exactly_their_codes(maker: Callable[[], Iterator[Case]], tmp_path: Path) -> None:
    assert_found_exactly(list(maker()), tmp_path)


def all_broken() -> list[Case]:
    return [*broken_of(DISTINCT), *(case for maker in WHOLES for case in maker())]


def test_there_are_at_least_three_hundred_distinct_broken_submissions() -> None:
    distinct = {tuple(sorted(case.files.items())) for case in broken_of(DISTINCT)}
    assert len(distinct) >= 300
    assert {(case.form.challenge.name, case.form.layout) for case in all_broken()} == {
        (form.challenge.name, form.layout) for form in FORMATS
    }


def test_every_code_of_the_catalogue_is_produced_by_a_broken_submission() -> None:
    produced = {code for case in all_broken() for code, _, _ in case.found}
    assert produced == {kind.code for kind in KINDS}


def test_a_rule_that_was_read_nowhere_is_a_warning_unless_a_sample_says_it(tmp_path: Path) -> None:
    case = valid(format_of("VA", 8))
    assert not case.form.verified("image_column")
    header, *rows = lines_of(case)
    other = with_lines(case, "another first column", [header.replace(b"image_location", b"frame"), *rows])
    unknown = with_lines(case, "another header", [b"frame,v,a", *rows])
    verified = with_lines(valid(format_of("VA", 6)), "verified", [header.replace(b"image_location", b"frame"), *rows])
    for number, (tried, severities) in enumerate(
        (
            (replace(other, expected=None), {"HEADER_UNKNOWN": "warning"}),
            (other, {"HEADER_UNKNOWN": "error"}),
            (replace(unknown, expected=None), {"HEADER_UNKNOWN": "error"}),
            (replace(verified, expected=None), {"HEADER_UNKNOWN": "error"}),
            (replace(valid(format_of("VA", 3)), expected=None, options=case.options), {"ANSWER_ABSENT": "warning"}),
        )
    ):
        findings = checked(tried, tmp_path, number).findings
        assert {finding.kind.code: finding.kind.severity for finding in findings} == severities, tried.name
        assert findings.has_errors == ("error" in severities.values())


def valid_variants() -> Iterator[Case]:
    """Answers that may be sent, in many forms."""
    for base in bases():
        yield base
        yield replace(base, name=f"{base.name}: zip", archive=zipped)
        yield recorded(base)
        yield replace(recorded(base), name=f"{base.name}: recorded, tar.gz", archive=tarred("w:gz"), archive_name="a.tar.gz")
    for mode, name in (("w", "a.tar"), ("w:bz2", "a.tar.bz2"), ("w:xz", "a.tar.xz"), ("w:gz", "a.tgz")):
        yield replace(valid(format_of("AU", 3)), name=name, archive=tarred(mode), archive_name=name)
    dotted = valid(format_of("EXPR", 5))
    yield replace(
        dotted,
        name="names in a tar file begin with ./",
        files={f"./{k}": v for k, v in dotted.files.items()},
        archive=tarred("w"),
        archive_name="a.tar",
    )
    for seed in range(1, 8):
        yield replace(valid(format_of("VA", 5), seed), options={})
        yield replace(valid(format_of("EXPR", 3), seed), expected=None, options={})
    affect = valid(format_of("VA", 5))
    lines = lines_of(affect)
    for number in ("1", "-1", "0", "-0.0", "1e-05", "-3.2E-7", "0.12345678901234567890", "1.000"):
        changed = [*lines[:-1], lines[-1].split(b",")[0] + f",{number},0.5".encode()]
        yield with_bytes(affect, f"value {number}", b"\n".join(changed) + b"\n")
    yield with_bytes(affect, "no final newline", b"\n".join(lines))
    tracks = Rows.from_counts([("01", 3), ("a.b-c_d+e", 2), ("video_left_2", 100_002)])
    images = [image_name(tracks.names[track], frame) for track, frame in zip(tracks.track, tracks.frame, strict=True)]
    long = valid(format_of("EXPR", 5))
    header = long.form.header.encode()
    assert long.expected is not None
    yield replace(
        with_bytes(
            long,
            "more than 99,999 frames",
            header + b"\n" + b"".join(f"{image},{number % 7}\n".encode() for number, image in enumerate(images)),
        ),
        expected=replace(long.expected, tracks=tracks.names, rows=tracks),
    )


def test_at_least_sixty_valid_variants_raise_no_error(tmp_path: Path) -> None:
    variants = list(valid_variants())
    assert len(variants) >= 60
    for number, case in enumerate(variants):
        verdict = checked(case, tmp_path, number)
        assert not verdict.findings.has_errors, (case.name, [(f.kind.code, f.file, f.line) for f in verdict.findings])
        assert verdict.form is not None
        assert verdict.rows > 0


INTERESTING = (
    b"\n",
    b"\r",
    b"\0",
    b",",
    b";",
    b" ",
    b"\t",
    b'"',
    b"-",
    b"+",
    b".",
    b"e",
    b"0",
    b"7",
    b"8",
    b"\xff",
    b"\xc2\xa0",
    b"\x0b",
    b"\xef\xbc\x91",
    b"nan",
    b"/",
    b"_",
    b"1",
    b"\xe2\x80\x8b",
)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to three small changes of bytes, lines or numbers."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(8)
        if kind == 0:
            data = data[:at] + rng.choice(INTERESTING) + data[at:]
        elif kind == 1:
            data = data[:at] + data[at + 1 :]
        elif kind == 2:
            data = data[:at] + rng.choice(INTERESTING) + data[at + 1 :]
        elif kind == 3:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        elif kind == 4:
            lines = data.split(b"\n")
            first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[first], lines[second] = lines[second], lines[first]
            data = b"\n".join(lines)
        elif kind == 5:
            end = min(len(data), at + rng.randrange(1, 60))
            data = data[:end] + data[at:end] + data[end:]
        elif kind == 6:
            data = data[:at]
        else:
            digits = [index for index, byte in enumerate(data) if 48 <= byte <= 57]
            if digits:
                place = rng.choice(digits)
                data = data[:place] + b"%d" % rng.randrange(10) + data[place + 1 :]
    return data


def fuzz(seed: int, count: int, folder: Path) -> tuple[int, int]:
    """Mutates valid answers; returns how many mutants were accepted and how many refused, by both readers alike."""
    rng = random.Random(seed)
    accepted = 0
    for number in range(count):
        case = valid(rng.choice(DISTINCT), seed=number % 5)
        name = next(iter(case.files))
        data = mutated(case.files[name], rng)
        path = folder / name
        path.write_bytes(data)
        assert case.expected is not None
        assert case.expected.rows is not None
        rows, single = case.expected.rows, case.form.layout == "single"
        images = (
            [image_name(rows.names[track], frame) for track, frame in zip(rows.track, rows.frame, strict=True)]
            if single
            else None
        )
        wanted = len(rows) if single else rows.counts[path.stem]
        verdict = check(path, case.expected, **case.options)
        strict = accepts(data, case.form.header, images, wanted, case.form.challenge)
        assert verdict.findings.has_errors != strict, (
            case.name,
            data,
            [(f.kind.code, f.line, f.found) for f in verdict.findings],
        )
        accepted += strict
    return accepted, count - accepted


@pytest.mark.parametrize(("seed", "count"), [(0, 1000), pytest.param(1, 5000, marks=pytest.mark.slow)])
def test_mutants_are_accepted_and_refused_as_by_the_strict_reference(seed: int, count: int, tmp_path: Path) -> None:
    accepted, refused = fuzz(seed, count, tmp_path)
    assert accepted > count // 50
    assert refused > count // 2


@cache
def containers() -> list[tuple[str, dict[str, bytes]]]:
    """Archives by their name, and a recorded folder."""
    tracks, single = valid(format_of("EXPR", 3)).files, valid(format_of("EXPR", 5)).files
    archives = [(f"a.{suffix}", {f"a.{suffix}": make(files)}) for files in (tracks, single) for suffix, make in ARCHIVERS.items()]
    return [*archives, ("answer", recorded(valid(format_of("EXPR", 5))).files)]


ARCHIVERS = {"zip": zipped, "tar": tarred("w"), "tar.gz": tarred("w:gz"), "tar.xz": tarred("w:xz"), "tar.bz2": tarred("w:bz2")}


def fuzz_containers(seed: int, count: int, folder: Path) -> dict[bool, int]:
    """Mutates a file of an archive or folder; returns how many mutants had an error and how many had none. Nothing is raised."""
    rng = random.Random(seed)
    outcomes = {False: 0, True: 0}
    for _ in range(count):
        name, files = rng.choice(containers())
        place = folder if name in files else folder / name
        changed = rng.choice(list(files))
        for key, data in files.items():
            (place / key).parent.mkdir(parents=True, exist_ok=True)
            (place / key).write_bytes(mutated(data, rng) if key == changed else data)
        outcomes[check(folder / name).findings.has_errors] += 1
    return outcomes


@pytest.mark.parametrize(("seed", "count"), [(0, 500), pytest.param(1, 3000, marks=pytest.mark.slow)])
def test_mutated_archives_and_records_raise_nothing(seed: int, count: int, tmp_path: Path) -> None:
    assert min(fuzz_containers(seed, count, tmp_path).values()) > count // 25


def spoiled(spoil: Callable[[str], str], folder: Path, form: Format) -> Path:
    """An answer of 700 rows, each spoiled alike; a row of another fault stands among them."""
    rng = random.Random(3)
    lines = []
    for frame in range(1, 701):
        values = [
            f"{rng.uniform(-1, 1):.3f}" if field.kind == "real" else f"{rng.randint(0, 1)}" for field in form.challenge.fields
        ]
        lines.append(",".join([*([f"video1/{frame:05d}.jpg"] if form.layout == "single" else []), *values]))
    lines = [spoil(line) for line in lines]
    lines[450] = lines[450].replace("video1", "vi\u00e9o1") + "x"
    path = folder / ("predictions.txt" if form.layout == "single" else "video1.txt")
    path.write_text("\n".join([form.header, *lines]) + "\n")
    return path


SPOILING: dict[str, tuple[Callable[[str], str], str]] = {
    "comma at the end": (lambda line: line + ",", "TRAILING_COMMA"),
    "two commas at the end": (lambda line: line + ",,", "TRAILING_COMMA"),
    "blank at the end": (lambda line: line + " ", "SPACES"),
    "blanks at both ends": (lambda line: "\t " + line + "  ", "SPACES"),
    "blank behind commas": (lambda line: line.replace(",", ", "), "SPACES"),
    "blank before commas": (lambda line: line.replace(",", " ,"), "SPACES"),
    "quoted line": (lambda line: f'"{line}"', "QUOTED_FIELD"),
    "quoted fields": (lambda line: ",".join(f"'{field}'" for field in line.split(",")), "QUOTED_FIELD"),
    "semicolons": (lambda line: line.replace(",", ";"), "DELIMITER"),
    "tabs": (lambda line: line.replace(",", "\t"), "DELIMITER"),
    "index": (lambda line: "7," + line, "INDEX_COLUMN"),
    "nameless index": (lambda line: "," + line, "INDEX_COLUMN"),
    "other extension": (lambda line: line.replace(".jpg", ".png"), "IMAGE_EXTENSION"),
    "no extension": (lambda line: line.replace(".jpg", ""), "IMAGE_EXTENSION"),
    "no padding": (lambda line: line.replace("/000", "/").replace("/0", "/"), "IMAGE_PADDING"),
    "more padding": (lambda line: line.replace("/", "/00"), "IMAGE_PADDING"),
    "class as a float": (lambda line: line + ".0", "VALUE_NUMBER_FORM"),
    "no value": (lambda line: line.rpartition(",")[0] + ",", "VALUE_ABSENT"),
    "not a number": (lambda line: line.rpartition(",")[0] + ",nan", "VALUE_NAN"),
    "a name": (lambda line: line.rpartition(",")[0] + ",Happiness", "VALUE_CLASS_NAME"),
    "two kinds": (lambda line: line[:-1] + ("9" if line[-1] == "0" else "08"), "VALUE_RANGE"),
    "blanks in some rows": (lambda line: line + " " * line.endswith("7.jpg,1"), "SPACES"),
    "several at once": (lambda line: "3, '" + line.replace(".jpg", ".png").replace("/00", "/") + "' ,,", "SPACES"),
}


def assert_said_as_line_by_line(path: Path, form: Format, patch: pytest.MonkeyPatch) -> Verdict:
    """Checks the file once many rows at a time and once one by one, and compares all that is found and read."""
    together = check(path, None, form.challenge.name, form.edition)
    with patch.context() as alone:
        alone.setattr(table, "read_shared", lambda block, form, lines: None)
        one_by_one = check(path, None, form.challenge.name, form.edition)
    assert as_json(together.findings)["counts"] == as_json(one_by_one.findings)["counts"]
    assert set(together.findings) == set(one_by_one.findings)
    for name, values in one_by_one.values.items():
        np.testing.assert_array_equal(together.values[name], values)
        np.testing.assert_array_equal(together.frames[name], one_by_one.frames[name])
    return together


@pytest.mark.parametrize("what", SPOILING)
def test_a_fault_of_every_row_is_said_of_each_as_line_by_line(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil, code = SPOILING[what]
    form = format_of("EXPR", 5)
    verdict = assert_said_as_line_by_line(spoiled(spoil, tmp_path, form), form, monkeypatch)
    assert verdict.findings.total(code) >= 699 or what == "blanks in some rows"


@pytest.mark.parametrize("form", [form for form in DISTINCT if form.challenge.name != "EXPR"], ids=lambda form: form.name)
def test_faults_of_every_row_are_said_alike_in_all_challenges(
    form: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for spoil in (SPOILING["comma at the end"][0], SPOILING["blank behind commas"][0], lambda line: line + "8"):
        assert_said_as_line_by_line(spoiled(spoil, tmp_path, form), form, monkeypatch)


def test_rows_that_share_a_fault_are_not_read_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MOST_LINES_ONE_BY_ONE", 400)
    for what, (spoil, code) in SPOILING.items():
        findings = check(spoiled(spoil, tmp_path, format_of("EXPR", 5)), None, "EXPR", 5).findings
        assert "TOO_MANY_FAULTS" not in findings.codes(), what
        assert code in findings.codes(), what


def test_a_few_rows_twice_are_not_taken_for_a_file_that_holds_everything_twice(tmp_path: Path) -> None:
    case = valid(format_of("EXPR", 5))
    header, *rows = lines_of(case)
    findings = checked(with_lines(case, "three rows twice", [header, *rows[:3], *rows[:3]]), tmp_path, 0).findings
    assert "FILE_TWICE" not in findings.codes()
    assert [finding.line for finding in findings.of("ROW_DUPLICATE")] == [5]


def test_stretches_beyond_those_that_are_kept_are_counted(tmp_path: Path) -> None:
    case = valid(format_of("EXPR", 5))
    rows = Rows.from_counts([("one", 1000)])
    lines = [f"{image_name('one', frame)},0".encode() for frame in range(1, 1001, 2)]
    assert case.expected is not None
    spaced = replace(case, expected=replace(case.expected, tracks=rows.names, rows=rows))
    findings = checked(with_lines(spaced, "every other", [case.form.header.encode(), *lines]), tmp_path, 0).findings
    assert findings.total("ROW_ABSENT") == 500
    assert len(findings.of("ROW_ABSENT")) == KEPT


@pytest.mark.parametrize(("share", "near"), [(0.94, False), (0.96, True), (1.0, False), (1.04, True), (1.06, False)])
def test_only_what_is_within_a_twentieth_of_the_official_rows_was_meant_to_be_them(share: float, near: bool) -> None:
    form, findings = format_of("EXPR", 5), Findings()
    assert form.test_rows is not None
    rows = np.zeros(round(share * form.test_rows), np.int32)
    answer = replace(table.Table.empty(form.challenge), track=rows)
    compare_size(answer, form, "predictions.txt", findings)
    assert findings.codes() == (["OFFICIAL_SIZE"] if near else [])


def test_a_value_that_cannot_be_read_is_not_said_to_differ_from_the_track_s_file(tmp_path: Path) -> None:
    case = recorded(valid(format_of("EXPR", 5)))
    track = case.files["tracks/video1.txt"].split(b"\n")
    # What cannot be read is held as 0, which must not be compared with a 1.
    single = re.sub(rb"video1/0000[24].jpg,[01]", lambda match: match[0][:-1] + b"1", case.files["predictions.txt"])
    track[2], track[4] = b"1", b"y"
    files = {**case.files, "predictions.txt": single.replace(b"video1/00002.jpg,1", b"video1/00002.jpg,x")}
    findings = checked(replace(case, files={**files, "tracks/video1.txt": b"\n".join(track)}), tmp_path, 0).findings
    assert findings.total("VALUE_NOT_A_NUMBER") == 2
    assert "MERGED_DIFFERS" not in findings.codes()


@pytest.mark.parametrize(("moved", "far"), [(0.30, False), (0.40, True)])
def test_class_shares_are_far_from_those_of_training_from_a_third_on(moved: float, far: bool) -> None:
    form, findings = format_of("EXPR", 5), Findings()
    # Half the sum of the differences is what is moved from one class to another.
    counts = np.round(np.array([0.6 - moved, 0.4 + moved]) * 10_000).astype(int)
    values = {"a": np.repeat(np.arange(2, dtype=np.int8), counts)[:, None]}
    check_plausibility(values, {"a": "predictions.txt"}, "predictions.txt", form.challenge, [60, 40, 0, 0, 0, 0, 0, 0], findings)
    assert findings.codes() == (["CLASS_SHARES"] if far else [])


@pytest.mark.parametrize(("edition", "taken"), [(5, "predictions.txt"), (3, "tracks/video1.txt")])
def test_of_two_answers_the_values_are_those_of_what_the_edition_asks_for(tmp_path: Path, edition: int, taken: str) -> None:
    single = recorded(valid(format_of("EXPR", 5)))
    # Label by label other values in the one file than in the track's, and one row less.
    other = re.sub(
        rb"(video1/\d+.jpg),(\d)", lambda row: b"%s,%d" % (row[1], (int(row[2]) + 1) % 8), single.files["predictions.txt"]
    )
    other = other[: other.rstrip().rindex(b"\n") + 1]
    case = replace(single, files={**single.files, "predictions.txt": other}, options={**single.options, "edition": edition})
    by_hand = {
        "predictions.txt": [int(label) for label in re.findall(rb"video1/\d+.jpg,(\d)", other)],
        "tracks/video1.txt": [int(line) for line in single.files["tracks/video1.txt"].split()[1:]],
    }
    assert all(left != right for left, right in zip(*by_hand.values(), strict=False))
    verdict, rows = checked(case, tmp_path, 0), len(single.files["predictions.txt"].splitlines()) - 1
    assert verdict.values["video1"].ravel().tolist() == by_hand[taken]
    assert verdict.frames["video1"].tolist() == list(range(1, len(by_hand[taken]) + 1))
    assert verdict.rows == (rows - 1 if edition == 5 else rows)


def test_a_changed_file_is_told_by_the_beginnings_of_both_digests(tmp_path: Path) -> None:
    case = recorded(valid(format_of("EXPR", 3)))
    name, changed = "tracks/video1.txt", case.files["tracks/video1.txt"].replace(b"0", b"1")
    (found,) = checked(replace(case, files={**case.files, name: changed}), tmp_path, 0).findings.of("RECORD_SHA256")
    was, now = (hashlib.sha256(data).hexdigest() for data in (case.files[name], changed))
    assert (found.found, found.expected) == (f"sha256 {now[:12]}...", f"{was[:12]}...")


def written_record(**more: object) -> bytes:
    """submission.json as it has been written since its first version."""
    content = {"version": 1, "challenge": "EXPR", "edition": 5, "rows": [["a", 2], ["b", 3]], "files": {"predictions.txt": "ab"}}
    return json.dumps({**content, **more}).encode()


def test_a_record_of_the_first_version_is_read_and_written_alike() -> None:
    found = parse_record(written_record(split="val", runs=[{"name": "one"}]), "submission.json")
    assert (found.rows, found.files, found.split, found.runs) == (
        (("a", 2), ("b", 3)),
        {"predictions.txt": "ab"},
        "val",
        ("one",),
    )
    form, rows = format_of("EXPR", 5), Rows.from_counts([("a", 2), ("b", 3)])
    digests = MappingProxyType({"predictions.txt": "ab"})
    assert json.dumps(record_content(form, rows, form.header.encode(), digests, {})).encode() == written_record()


def test_of_an_edition_that_asks_for_some_frames_a_record_names_them_even_where_none_is_left_out() -> None:
    form, rows = format_of("MTL", 7), Rows.from_counts([("a", 2), ("b", 3)])
    content = record_content(form, rows, form.header.encode(), {"predictions.txt": "ab"}, {})
    found = parse_record(json.dumps(content).encode(), "submission.json")
    assert found.frames is not None
    assert (found.frames.names, found.frames.frame.tolist()) == (("a", "b"), [1, 2, 1, 2, 3])


def test_a_list_may_name_twenty_thousand_tracks_of_two_hundred_characters(tmp_path: Path) -> None:
    names, path = [f"{number:0200d}" for number in range(20_000)], tmp_path / "names.txt"
    path.write_bytes("".join(f"{name}\r\n" for name in names).encode())
    assert from_sample(path).tracks == tuple(names)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(DataError, match="too long for a list of tracks") as refused:
        from_sample(path)
    assert (refused.value.found, refused.value.expected) == ("4,040,001 bytes", "at most 4,040,000")


@pytest.mark.parametrize(("values", "challenge"), [(1, "EXPR"), (2, "VA"), (8, "AU"), (12, "AU"), (15, "MTL"), (3, None)])
def test_where_there_is_no_header_the_number_of_values_tells_the_challenge(values: int, challenge: str | None) -> None:
    row = b",".join([b"0"] * values)
    for line, with_image in ((row, False), (b"video1/00001.jpg," + row, True)):
        found = guess(line + b"\n")
        assert (found.challenge and found.challenge.name, found.with_image) == (challenge, with_image)
        assert found.challenge is None or len(found.challenge.fields) == values


def test_a_file_may_be_as_large_as_the_most_and_not_a_byte_larger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = valid(format_of("EXPR", 5))
    size = len(case.files["predictions.txt"])
    monkeypatch.setattr(table, "LARGEST_FILE", size)
    assert not len(checked(case, tmp_path, 0).findings)
    monkeypatch.setattr(table, "LARGEST_FILE", size - 1)
    (found,) = checked(case, tmp_path, 1).findings.of("FILE_TOO_LARGE")
    assert (found.found, found.expected) == (f"{size:,} bytes", f"at most {size - 1:,}")


def test_ten_million_rows_are_the_most_that_a_record_or_a_table_may_ask_for(tmp_path: Path) -> None:
    most, more = [["a", 4_000_000], ["b", 6_000_000]], [["a", 4_000_000], ["b", 6_000_001]]
    assert sum(count for _, count in parse_record(written_record(rows=most), "submission.json").rows) == 10_000_000
    with pytest.raises(DataError, match="more than 10,000,000 rows"):
        parse_record(written_record(rows=more), "submission.json")
    table = tmp_path / "rows.csv"
    table.write_text("track,rows\n" + "".join(f"{name},{count}\n" for name, count in most))
    assert from_table(table).counts == {"a": 4_000_000, "b": 6_000_000}
    table.write_text("track,rows\n" + "".join(f"{name},{count}\n" for name, count in more))
    with pytest.raises(DataError, match="more rows than any answer has"):
        from_table(table)
