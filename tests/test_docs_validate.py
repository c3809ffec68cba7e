"""The pages about validating: their commands work and print what they show, and their tables are those of the program.

HARNESS_WRITE_DOCS=1 writes the tables anew.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from harness.challenge import EXPR, FORMATS, Format, format_of
from harness.cli import main
from harness.data import catalogue as doctor
from harness.findings import catalogue_table
from harness.submission import catalogue as validator

DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN, END = "<!-- formats: written by tests/test_docs_validate.py -->", "<!-- end of formats -->"


def findings_page() -> str:
    return f"""# Findings

What the validator and the doctor have to say. An error ends with exit code 1, a warning and a note do not.
This page is written from the catalogues by `tests/test_docs_validate.py`.

## harness validate

See [validate.md](validate.md). `harness validate --list-codes` prints the same.

{catalogue_table(validator.KINDS)}

## harness doctor

See [data.md](data.md). Before version 2 of the JSON form these codes were written in lower case: `no-rows` for `NO_ROWS`.

{catalogue_table(doctor.KINDS)}
"""


def formats_table() -> str:
    rows = [
        "| edition | challenge | header | file | score | submissions | test tracks | test rows |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*rows, *(format_row(form) for form in FORMATS)])


def format_row(form: Format) -> str:
    header = form.header if len(form.header) < 60 else f"{form.header[:45]}...{form.header[-9:]}"
    cells = {
        "challenge": form.challenge.name
        + (f", {len(form.challenge.class_names)} classes" if form.challenge.name == EXPR.name else ""),
        "image_column": f"`{header}`",
        "answer_name": f"`{form.answer_name}`",
        "score": str(form.score),
        "submissions": str(form.submissions or "unknown"),
        "test_tracks": f"{form.test_tracks:,}" if form.test_tracks else "",
        "test_rows": f"{form.test_rows:,}" if form.test_rows else "",
    }
    marked = [text if form.verified(name) or not text else f"*{text}*" for name, text in cells.items()]
    return f"| {form.edition} | {' | '.join(marked)} |"


def written(path: Path, text: str) -> str:
    """What the page says now; with HARNESS_WRITE_DOCS it is written first."""
    if os.environ.get("HARNESS_WRITE_DOCS"):
        path.write_text(text)
    return path.read_text()


def test_the_page_of_findings_is_that_of_the_catalogues() -> None:
    assert written(DOCS / "findings.md", findings_page()) == findings_page()


def test_the_table_of_formats_is_that_of_the_program() -> None:
    path = DOCS / "validate.md"
    before, _, rest = path.read_text().partition(BEGIN)
    wanted = f"{before}{BEGIN}\n\n{formats_table()}\n\n{END}{rest.partition(END)[2]}"
    assert written(path, wanted) == wanted


def foreign_file(folder: Path) -> None:
    """The file of the page: written by pandas, with a class too many and three rows lost."""
    header = format_of("EXPR", 5).header
    tracks = (("14-30-1920x1080", 400), ("video92_left", 300))
    images = [f"{track}/{frame:05d}.jpg" for track, count in tracks for frame in range(1, count + 1)]
    sample = folder / "CVPR_5th_ABAW_EXPR_test_set_sample.txt"
    sample.write_text("\n".join([header, *(image + "," for image in images)]) + "\n")
    rows = [f"{image},{number // 60 % 8}" for number, image in enumerate(images)]
    rows[16] = rows[16].rpartition(",")[0] + ",8"
    quoted = header.replace("Neutral", '"Neutral') + '"'
    (folder / "predictions.txt").write_text("\n".join([quoted, *rows[:120], *rows[123:]]) + "\n")


def test_the_page_shows_what_its_commands_print(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    foreign_file(tmp_path)
    blocks = re.findall(r"```console\n\$ harness (.*?)\n(.*?)```", (DOCS / "validate.md").read_text(), re.DOTALL)
    assert blocks
    for command, output in blocks:
        with pytest.raises(SystemExit):
            main(shlex.split(command))
        assert capsys.readouterr().out == output


def test_the_repair_of_the_page_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    foreign_file(tmp_path)
    (tmp_path / "CVPR_5th_ABAW_EXPR_test_set_sample.txt").rename("sample.txt")
    (command,) = re.findall(r"^harness (validate .* --fix .*)$", (DOCS / "validate.md").read_text(), re.MULTILINE)
    with pytest.raises(SystemExit):
        main(shlex.split(command))
    assert "fix: predictions.txt: quotes and blanks taken out of the header" in capsys.readouterr().out
    assert "HEADER_QUOTED" not in (tmp_path / "repaired" / "predictions.txt").read_text()


def test_every_code_named_on_the_pages_exists() -> None:
    known = {kind.code for kind in validator.KINDS}
    named = set(re.findall(r"^(?:ERROR|WARNING) ([A-Z_0-9]+)", (DOCS / "validate.md").read_text(), re.MULTILINE))
    assert named
    assert named <= known
