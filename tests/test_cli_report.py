"""harness report: one file for one run or several, with or without labels, and what it refuses."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.challenge import EXPR
from harness.data.tracks import DataRoot
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_USAGE
from tests.command_line import harness
from tests.grey_faces import grey_face
from tests.simulated_runs import labelled_root, noisy_run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataRoot:
    monkeypatch.chdir(tmp_path)
    root = labelled_root(tmp_path / "root", image=grey_face)
    noisy_run(root, Path("runs/good"), 1.5, splits=("val", "test"))
    noisy_run(root, Path("runs/poor"), 2.5, seed=1)
    Path("latin.txt").write_bytes("é".encode("latin-1"))
    return root


def test_several_runs_become_one_page(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("report", "good", "poor", "--timelines", "1") == EXIT_DONE
    page = Path("reports/good+poor-val.html").read_text()
    assert "Comparison with" in page
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("report: reports/good+poor-val.html (0.")
    assert lines[-1].startswith("next: ")
    assert harness("report", "good", "poor", "--timelines", "1", "--out", "again.html") == EXIT_DONE
    assert Path("again.html").read_text() == page


def test_labels_of_a_test_split_may_lie_elsewhere(root: DataRoot) -> None:
    assert harness("report", "good", "--split", "test", "--timelines", "1", "--out", "without.html") == EXIT_DONE
    Path("labels").mkdir()
    rows = root.split("test")[0].rows
    Path("labels/video99.txt").write_text(f"{EXPR.header}\n" + "0\n" * rows)
    assert (
        harness("report", "good", "--split", "test", "--timelines", "1", "--labels", "labels", "--out", "with.html") == EXIT_DONE
    )
    assert 'id="scores"' not in Path("without.html").read_text()
    assert 'id="scores"' in Path("with.html").read_text()


def told_by(page: Path) -> dict[str, Any]:
    """What the script of a page knows."""
    found = re.search(r'id="told">(.*?)</script>', page.read_text())
    assert found is not None
    value: dict[str, Any] = json.loads(found[1])
    return value


def test_faces_are_there_on_request_and_named_as_personal_data(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("report", "good", "poor", "--timelines", "2", "--out", "plain.html") == EXIT_DONE
    assert "personal data" not in capsys.readouterr().out
    assert told_by(Path("plain.html"))["faces"] == []
    assert "Personal data" not in Path("plain.html").read_text()
    assert "<img" not in Path("plain.html").read_text()
    assert '<div class="notes">' not in Path("plain.html").read_text()
    with_faces = ("report", "good", "poor", "--timelines", "2", "--faces", "--faces-limit", "0.05")
    assert harness(*with_faces, "--out", "faces.html") == EXIT_DONE
    assert "personal data" in capsys.readouterr().out
    page, told = Path("faces.html").read_text(), told_by(Path("faces.html"))
    assert "Personal data" in page
    assert "found no room in 0.05 MB" in page
    # Both runs draw the same two tracks.
    assert [told["timelines"][key]["faces"] for key in ("0-0", "0-1", "1-0", "1-1")] == [0, 1, 0, 1]
    assert 30_000 < sum(len(picture) for track in told["faces"] for picture in track["pictures"]) <= 50_000
    assert harness(*with_faces, "--out", "again.html") == EXIT_DONE
    assert Path("again.html").read_bytes() == Path("faces.html").read_bytes()


def test_a_title_and_notes_are_text_or_a_file(root: DataRoot) -> None:
    Path("notes.md").write_text("First <b>line</b>\nsecond line\n\n\n" + "long " * 600, encoding="utf-8")
    for notes in ("notes.md", Path("notes.md").read_text()):
        options = ("--timelines", "1", "--title", "Backbone <of> Friday", "--notes", notes, "--out", "noted.html")
        assert harness("report", "good", *options) == EXIT_DONE
        page = Path("noted.html").read_text()
        assert "<title>Backbone &lt;of&gt; Friday: report on val</title>" in page
        assert "<h1><bdi>Backbone &lt;of&gt; Friday</bdi></h1>" in page
        assert f"<p>First &lt;b&gt;line&lt;/b&gt;<br>second line</p><p>{('long ' * 600).rstrip()}</p>" in page


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], EXIT_USAGE, "RUN"),
        (["god"], EXIT_DATA, "did you mean 'good'"),
        (["good", "--split", "train"], EXIT_DATA, "complete: val, test"),
        (["good", "--kernel", "man"], EXIT_USAGE, "mean"),
        (["good", "--edition", "9"], EXIT_USAGE, "9th"),
        (["good", "--timelines", "0"], EXIT_USAGE, "timelines"),
        (["good", "--out", "root/cropped_aligned"], EXIT_DATA, "cannot write"),
        (["good", "--faces", "--faces-limit", "0"], EXIT_USAGE, "faces-limit"),
        (["good", "--notes", "absent.md"], EXIT_DATA, "no such file"),
        (["good", "--notes", "latin.txt"], EXIT_DATA, "not UTF-8"),
    ],
)
def test_faults_are_named_in_a_few_lines(
    root: DataRoot, arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert harness("report", *arguments) == code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_missing_package_is_named_with_its_extra(
    root: DataRoot, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert harness("report", "good") == EXIT_DATA
    error = capsys.readouterr().err
    assert repr(package) in error
    assert "abaw-harness[report]" in error
    assert not Path("reports").exists()
