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
from harness.evaluation.describe import score_formula
from harness.findings import catalogue_table
from harness.kinds.parts import parts_of
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
        "score": score_formula(parts_of(form.challenge), form.score),
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


def files_of_the_other_challenges(folder: Path) -> None:
    """The files of the page below folders with the names of their challenges, each with its sample."""
    images = [
        f"{track}/{frame:05d}.jpg"
        for track, count in (("14-30-1920x1080", 200), ("video92_left", 150))
        for frame in range(1, count + 1)
    ]
    values = [f"{image},{(n % 21 - 10) / 10},{n % 11 / 20}" for n, image in enumerate(images)]
    values[40:42] = [f"{images[40]},-5,-5", f"{images[41]},0.31,1.04"]
    units = [",".join([image, *(str((n // 30 + unit) % 2) for unit in range(12))]) for n, image in enumerate(images)]
    units[7] = f"{images[7]},0.9{',0' * 11}"
    classes = [f"{image},{n // 50 % 7}" for n, image in enumerate(images[:150])]
    classes[99] = f"{images[99]},Sadly_Angry"
    listed = images[::3]
    listed.insert(31, listed[30])
    all_tasks = [
        f"{image},{(n % 21 - 10) / 10},{n % 11 / 20},{n // 12 % 8},{','.join(str((n // 5 + unit) % 2) for unit in range(12))}"
        for n, image in enumerate(listed)
    ]
    all_tasks[31] = all_tasks[30].rpartition(",")[0] + ",0"
    all_tasks.insert(61, all_tasks[60])
    written_of = {"VA": (values, images), "AU": (units, images), "CE": (classes, images[:150]), "MTL": (all_tasks, listed)}
    for challenge, (rows, sample) in written_of.items():
        form, place = format_of(challenge), folder / challenge
        place.mkdir()
        (place / form.answer_name).write_text("\n".join([form.header, *rows]) + "\n")
        (place / "sample.txt").write_text("\n".join([form.header, *(f"{image}," for image in sample)]) + "\n")


def test_the_page_shows_what_its_commands_print(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    foreign_file(tmp_path)
    files_of_the_other_challenges(tmp_path)
    blocks = re.findall(r"```console\n\$ harness (.*?)\n(.*?)```", (DOCS / "validate.md").read_text(), re.DOTALL)
    told = {name for name in ("EXPR", "VA", "AU", "MTL", "CE") if any(f": {name} of the" in output for _, output in blocks)}
    assert told == {"EXPR", "VA", "AU", "MTL", "CE"}
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
    assert "fix: predictions.txt: quotes and spaces removed from the header" in capsys.readouterr().out
    assert "HEADER_QUOTED" not in (tmp_path / "repaired" / "predictions.txt").read_text()


def test_every_code_named_on_the_pages_exists() -> None:
    known = {kind.code for kind in validator.KINDS}
    named = set(re.findall(r"^(?:ERROR|WARNING) ([A-Z_0-9]+)", (DOCS / "validate.md").read_text(), re.MULTILINE))
    assert named
    assert named <= known
