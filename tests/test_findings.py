"""Findings: bounded collection, printing, JSON."""

from __future__ import annotations

import json
import re

import click

from harness.data import catalogue as doctor
from harness.findings import (
    KEPT,
    Finding,
    FindingKind,
    Findings,
    as_json,
    as_text,
    catalogue_table,
    catalogue_text,
    printable,
    summary,
)
from harness.submission import catalogue as validator

LOUD = FindingKind("LOUD", "error", "too loud", "turn it down")
DULL = FindingKind("DULL", "warning", "too dull", "add | colour")


def test_errors_come_before_warnings_whatever_the_order() -> None:
    findings = Findings()
    findings.add(DULL, "a.txt", 1)
    findings.add(LOUD, "a.txt", 2)
    assert findings.codes() == ["LOUD", "DULL"]
    assert findings.has_errors


def test_of_many_places_the_first_are_kept_and_all_are_counted() -> None:
    findings = Findings()
    for line in range(1, 1001):
        findings.add(LOUD, "a.txt", line)
    findings.add(LOUD, "b.txt", 1)
    findings.count_more(LOUD, "b.txt", 9)
    assert len(findings.of("LOUD")) == KEPT + 1
    assert findings.total("LOUD") == 1010
    assert findings.number("error") == 1010


def test_joining_keeps_what_was_counted() -> None:
    first, second = Findings(), Findings([Finding(DULL, "a.txt", 1)])
    for line in range(KEPT + 50):
        first.add(LOUD, "a.txt", line)
    second.extend(first)
    assert second.total("LOUD") == KEPT + 50
    assert second.total("DULL") == 1
    assert len(second) == KEPT + 1


def test_the_first_places_are_shown_and_the_rest_counted() -> None:
    findings = Findings()
    for line in range(1, 6):
        findings.add(LOUD, "a.txt", line, found=f"{line}0 dB", expected="30 dB")
    findings.add(DULL, "b.txt")
    assert click.unstyle(as_text(findings)).splitlines() == [
        "ERROR LOUD (5 places): too loud",
        "    a.txt:1  found 10 dB, expected 30 dB",
        "    a.txt:2  found 20 dB, expected 30 dB",
        "    a.txt:3  found 30 dB, expected 30 dB",
        "    and 2 more",
        "    what to do: turn it down",
        "WARNING DULL (1 place): too dull",
        "    b.txt",
        "    what to do: add | colour",
    ]
    assert summary(findings) == "5 errors, 1 warning"


def test_what_a_terminal_would_obey_is_spelled_out() -> None:
    assert printable("\x1b[31mred\x07") == "\\x1b[31mred\\x07"
    assert printable("tab\tand\nline") == "tab\\tand\\nline"
    assert printable("caf\u00e9") == "caf\u00e9"
    assert printable("\u202ereversed") == "\\u202ereversed"
    findings = Findings()
    findings.add(LOUD, "\x1b]0;title\x07.txt", 3)
    assert "\x1b]0" not in as_text(findings)


def test_long_text_is_cut_in_its_middle() -> None:
    cut = printable("a" * 500 + "z")
    assert len(cut) <= 100
    assert cut.startswith("aaa")
    assert cut.endswith("z")


def test_json_holds_counts_and_places() -> None:
    findings = Findings()
    findings.add(LOUD, "a.txt", 7, found="90 dB", expected="30 dB")
    value = json.loads(json.dumps(as_json(findings)))
    assert value["errors"] == 1
    assert value["warnings"] == 0
    assert value["counts"] == {"LOUD": 1}
    assert value["findings"][0] == {
        "code": "LOUD",
        "severity": "error",
        "file": "a.txt",
        "line": 7,
        "found": "90 dB",
        "expected": "30 dB",
        "meaning": "too loud",
        "remedy": "turn it down",
    }


def test_a_catalogue_as_text_and_as_a_table() -> None:
    assert "LOUD (error)\n    too loud\n    what to do: turn it down" in catalogue_text([LOUD, DULL])
    assert catalogue_table([LOUD, DULL]).splitlines()[2:] == [
        "| `LOUD` | error | too loud | turn it down |",
        "| `DULL` | warning | too dull | add \\| colour |",
    ]


def test_doctor_and_validator_have_one_notation_and_no_code_in_common() -> None:
    codes = [kind.code for kind in (*doctor.KINDS, *validator.KINDS)]
    assert len(set(codes)) == len(codes) > 100
    assert all(re.fullmatch(r"[A-Z0-9]+(_[A-Z0-9]+)*", code) for code in codes)
    assert doctor.NO_ROWS in doctor.KINDS
    assert (doctor.NO_ROWS.code, validator.FINAL_NEWLINE.severity) == ("NO_ROWS", "warning")
