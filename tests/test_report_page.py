"""The page: what stands in it, that names stay names, and how it behaves in a real browser."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.challenge import EXPR, EXPR_7, MACRO_F1
from harness.data.tracks import DataRoot, Track
from harness.errors import MismatchError
from harness.evaluation.describe import estimate
from harness.postprocess.chain import PostProcessing
from harness.report import views
from harness.report.content import RunContent, gather
from harness.report.page import MOST_TIMELINES, render, timelines_of_each
from harness.report.timeline import LEFT, RIGHT
from harness.runs import scores
from harness.runs.store import Run
from harness.selection.ensemble import Member, ensemble
from harness.words import number
from tests.browser import Browser
from tests.simulated_runs import labelled_root, noisy_run

# What a name or a setting may hold to become more than text, in a page, a template, a terminal, a plot, or a spreadsheet.
HOSTILE = (
    "<img src=x onerror=owned()>",
    "<script>owned()<script>",
    "</script><script>owned()</script>",
    '"><svg onload=owned()>',
    "' onmouseover='owned()",
    "{{7*7}}{% include 'page.html' %}",
    "${7*7}",
    "$\\frac{1}{0}$",
    "=cmd()|' '!A0",
    "javascript:owned()",
    "<!-- ]]> <style>body{display:none}",
    "\x1b]0;owned\x07\x1b[2J",
    "\u202egnp.exe\u2066",
    "a\udcffb",
    "&lt;b&gt;",
    "x" * 180,
)


class Reader(HTMLParser):
    """Elements with their attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self._inside = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._inside = tag
        if tag in self.raw:
            self.raw[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in self.raw:
            self.raw[self._inside][-1] += data
        else:
            self.text.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def root(place: Path) -> DataRoot:
    return labelled_root(place / "root")


@pytest.fixture(scope="module")
def contents(root: DataRoot, place: Path) -> list[RunContent]:
    good = noisy_run(root, place / "runs" / "good", 1.5)
    poor = noisy_run(root, place / "runs" / "poor", 2.5, seed=1, confused=[(4, 7)])
    lines = [{"step": k, "loss": 2 / k, "learning_rate": 0.01} for k in range(1, 41)] + [{"step": 40, "macro_f1": 0.4}]
    (good.path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    both, _ = ensemble([Member(good, 0.75), Member(poor, 0.25)], place / "runs" / "both", union=False, fresh=False)
    return [gather(run, "val", root, PostProcessing(), MACRO_F1, timelines=2) for run in (good, poor, both)]


@pytest.fixture(scope="module")
def page(contents: list[RunContent]) -> str:
    return render(contents)


@pytest.fixture(scope="module")
def path(page: str, place: Path) -> Path:
    (place / "report.html").write_text(page, encoding="utf-8")
    return place / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as one:
        yield one


def assert_inert(page: str) -> Reader:
    """No element, attribute or address that could load or run anything but the page's own script."""
    reader = Reader(page)
    tags = {tag for tag, _ in reader.elements}
    assert not tags & {"iframe", "object", "embed", "link", "base", "form", "audio", "video", "source", "img", "foreignobject"}
    assert [attributes.get("type", "") for tag, attributes in reader.elements if tag == "script"] == ["application/json", ""]
    for tag, attributes in reader.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, attributes)
            assert name not in ("style", "srcset", "src", "action", "formaction"), (tag, attributes)
            if name in ("href", "xlink:href"):
                assert value.startswith(("#", "data:image/png;base64,")), (tag, attributes)
    return reader


def test_the_page_loads_nothing_and_its_policy_knows_its_own_style_and_script(page: str) -> None:
    reader = assert_inert(page)
    policy = next(a["content"] for tag, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    for kind, text in (("style", reader.raw["style"][0]), ("script", reader.raw["script"][1])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert "http:" not in page.replace("http-equiv", "")
    assert "https:" not in page
    assert "@import" not in page


def test_the_page_is_a_function_of_its_inputs(page: str, root: DataRoot, place: Path) -> None:
    once, again = (
        render([gather(Run(place / "runs" / "good"), "val", root, PostProcessing(), MACRO_F1, timelines=1)]) for _ in range(2)
    )
    assert once == again
    assert str(place) not in page
    assert not re.search(r"\b20\d\d-\d\d-\d\d", page)


def test_scores_and_intervals_are_those_of_the_evaluation(page: str, contents: list[RunContent]) -> None:
    words = Reader(page).words
    for content in contents:
        assert content.evaluation is not None
        assert content.unsmoothed is not None
        sets = content.evaluation.all_labelled
        for one in (sets.usual_score, sets.measures["accuracy"], *(sets.measures[f"f1_{name}"] for name in EXPR.class_names)):
            assert number(one.value) in words
            if one.low is not None:
                assert f"[{number(one.low)}, {number(one.high)}]" in words
        assert f"Macro-F1 was {number(content.unsmoothed.all_labelled.usual_score.value)} before" in words
    # Six recordings and two comparisons.
    assert words.count("no verdict can be drawn: with ") == 2
    assert "95 % intervals over 6 recordings" in words


def test_every_section_is_there_and_every_track_stands_in_a_table(page: str, contents: list[RunContent]) -> None:
    reader = Reader(page)
    sections = [attributes["id"] for tag, attributes in reader.elements if tag == "section"]
    assert sections == ["scores", "comparison", "columns", "timelines", "gaps", "tracks", "training", "settings", "provenance"]
    for attributes in (attributes for tag, attributes in reader.elements if tag == "a"):
        target = attributes["href"][1:]
        assert any(one.get("id") == target for _, one in reader.elements), target
    for track in contents[0].tracks:
        assert track.track in reader.words
    titles = {attributes.get("aria-label") for tag, attributes in reader.elements if tag == "svg"}
    assert {"loss", "learning rate", "validation while training", "reliability diagram", "lengths of gaps", "weights"} <= titles
    assert "0.750" in reader.words  # the weight of the better member


def test_what_a_frame_is_told_to_be_is_what_was_predicted(page: str, contents: list[RunContent]) -> None:
    told = json.loads(Reader(page).raw["script"][0])
    assert told["classes"] == list(EXPR.class_names)
    for place, content in enumerate(contents):
        for order, (track, _) in enumerate(content.chosen):
            one, timeline = told["timelines"][f"{place}-{order}"], content.pair.timeline(track)
            for name, values in (("decoded", timeline.decoded), ("labels", timeline.labels), ("imputed", timeline.imputed)):
                assert values is not None
                assert np.repeat(one[name][::2], one[name][1::2]).tolist() == values.astype(int).tolist()
            levels = np.frombuffer(base64.b64decode(one["probabilities"]), np.uint8).reshape(-1, 8)
            assert timeline.probabilities is not None
            np.testing.assert_allclose(levels / 255, timeline.probabilities, atol=0.5 / 255 + 1e-9)


def test_a_single_run_without_labels_has_no_scores_to_show(root: DataRoot, place: Path) -> None:
    run = noisy_run(root, place / "runs" / "test-only", 1.0, splits=("test",))
    reader = assert_inert(render([gather(run, "test", root, PostProcessing(), MACRO_F1)]))
    sections = [attributes["id"] for tag, attributes in reader.elements if tag == "section"]
    assert sections == ["timelines", "gaps", "tracks", "training", "settings", "provenance"]
    assert "without labels" in reader.words


def test_runs_of_other_tracks_are_not_compared_but_reported(contents: list[RunContent], place: Path) -> None:
    other = labelled_root(place / "other root", recordings=8, seed=5)
    stranger = gather(noisy_run(other, place / "runs" / "stranger", 1.0), "val", other, PostProcessing(), MACRO_F1, timelines=1)
    words = Reader(render([contents[0], stranger])).words
    assert "predictions of other tracks or labels" in words


def test_runs_of_other_classes_are_refused(contents: list[RunContent]) -> None:
    with pytest.raises(MismatchError, match="different classes"):
        render([contents[0], replace(contents[1], challenge=EXPR_7)])


def test_scores_on_what_a_run_was_trained_or_tuned_on_are_said_to_flatter(contents: list[RunContent]) -> None:
    gain = {"value": 0.01, "low": -0.02, "high": 0.04, "probability": 0.7}
    stage = {"name": "smoothing", "chosen": "mean", "kept": True, "inside": 0.05, "outside": gain}
    tuned = {"split": "val", "stages": [stage], "inside": 0.05, "outside": gain}
    known = contents[0].expectation
    assert known is not None
    rolled = np.roll(known.sums.reshape(-1, 8, 8), 1, axis=2).reshape(known.sums.shape)
    outside = replace(known, sums=rolled, without=("the fit of good",))
    expected = estimate(outside.score())
    for changes, sentence in (
        (
            {"expectation": outside},
            "chose the fit of good, so the scores of good here flatter: judged without each",
        ),
        ({"expectation": replace(known, flattering=("the checkpoint of good",))}, "chose the checkpoint of good, so the scores"),
        ({"manifest": {"data": {"splits": ["train", "val"]}}}, "good was trained on this split"),
        ({"manifest": {"data": {"splits": ["train", "val"], "fold": 2}}}, "all but one fold"),
    ):
        found = views.cautions(replace(contents[0], **changes))
        assert len(found) == 1
        assert sentence in found[0]
    assert views.cautions(contents[0]) == []
    rows = views.choice_rows(replace(contents[0], tuned=tuned))
    assert [(row["name"], row["inside"], row["outside"]) for row in rows] == [
        ("smoothing", "+0.050", "+0.010 [-0.020, +0.040]"),
        ("all of it", "+0.050", "+0.010 [-0.020, +0.040]"),
    ]
    steps = [{"name": "weights", "taken": False, "inside": 0.02, "outside": gain}]
    rows = views.choice_rows(replace(contents[0], tuned={"steps": steps, "inside": 0.02, "outside": gain}))
    assert [(row["name"], row["chosen"]) for row in rows] == [("weights", "left out"), ("all of it", "")]
    changed = replace(contents[0], tuned=tuned, expectation=outside, chosen=())
    words = Reader(render([changed, replace(contents[1], chosen=())])).words
    assert words.count(f"in that its macro-F1 is {expected}.") == 2  # beside the scores and in the comparison
    assert "Nothing of this run was chosen on labels" in words


def test_many_runs_share_the_timelines() -> None:
    assert timelines_of_each(1, 12) == 12
    assert timelines_of_each(8, 12) == MOST_TIMELINES // 8
    assert timelines_of_each(1000, 12) == 1


@pytest.fixture(scope="module")
def hostile(place: Path) -> str:
    """A page of a run whose name, tracks, settings, origin and members are all hostile, written past every check of names."""
    generator = np.random.default_rng(0)
    names = [name for name in HOSTILE if "/" not in name]
    tracks = []
    run = Run(place / "runs" / names[0])
    folder = scores.directory(run, "val")
    folder.mkdir(parents=True)
    entries = []
    for name in names:
        labels = np.repeat(generator.integers(0, 8, 6), 10).astype(np.int8)
        frames = np.arange(5, 61, dtype=np.int32)
        tracks.append(Track(name, name, "val", 60, "annotation", frames, labels, place, frame_rate=30.0))
        logits = generator.normal(size=(56, 8)).astype(np.float32)
        safe = scores.npz_bytes({"frame": frames, "score": logits})
        (folder / f"{name}.npz").write_bytes(safe)
        record = {"rows": 60, "rows_from": "annotation", "seen": 56, "unreadable": [], "skipped": 0, "images": ""}
        entries.append({"track": name, **record, "scores": hashlib.sha256(safe).hexdigest()})
    index = {"format": 1, "class_names": list(EXPR.class_names), "kind": "logits", "checkpoint": HOSTILE[1], "settings": {}}
    (folder / "scores.json").write_text(json.dumps({**index, "tracks": entries}))
    manifest = {
        "format": 1,
        "kind": "ensemble",
        "challenge": EXPR.name,
        "class_names": list(EXPR.class_names),
        "recipe": {f"about {k}": text for k, text in enumerate(HOSTILE)} | dict.fromkeys(HOSTILE, "key"),
        "members": [{"run": text, "weight": 1 / len(HOSTILE), "temperature": 1.0} for text in HOSTILE],
        "seed": HOSTILE[0],
        "data": {text: text for text in HOSTILE},
        "weights": {"file": HOSTILE[3]},
        "git_commit": HOSTILE[2],
        "versions": {HOSTILE[0]: HOSTILE[1]},
    }
    run.manifest_path.write_text(json.dumps(manifest))
    (run.path / "metrics.jsonl").write_text(json.dumps({"step": 1, HOSTILE[0]: 1.0, HOSTILE[7]: 2.0}) + "\n")
    root = DataRoot(place, tuple(tracks))
    content = gather(run, "val", root, PostProcessing(), MACRO_F1, timelines=2)
    twin = Run(place / "runs" / "</b>".replace("/", "") / "x")
    twin.path.parent.mkdir(parents=True, exist_ok=True)
    run.path.rename(twin.path)
    run.path.mkdir(parents=True)
    for source in sorted(twin.path.rglob("*")):
        target = run.path / source.relative_to(twin.path)
        if source.is_dir():
            target.mkdir(exist_ok=True)
        else:
            target.write_bytes(source.read_bytes())
    return render([content, gather(twin, "val", root, PostProcessing(), MACRO_F1, timelines=1)])


def test_hostile_names_and_settings_stay_text(hostile: str) -> None:
    reader = assert_inert(hostile)
    assert HOSTILE[0] in reader.words
    assert HOSTILE[2] in reader.words
    assert "{{7*7}}" in reader.words
    assert "49" not in re.findall(r"\b49\b", " ".join(word for word in reader.text if "7*7" in word))
    assert not [c for c in hostile if not c.isprintable() and c != "\n"]
    hostile.encode("utf-8")


def test_hostile_names_do_nothing_in_a_browser(hostile: str, place: Path, browser: Browser) -> None:
    file = place / "hostile.html"
    file.write_text(hostile, encoding="utf-8")
    for width in (375, 1280):
        browser.look(width)
        browser.open(file)
        assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("typeof owned") == "undefined"
    assert browser.complaints == []
    assert [one for one in browser.requests if not one.startswith("data:")] == [file.resolve().as_uri()]
    assert browser.value("getComputedStyle(document.body).display") == "block"
    assert browser.value("document.querySelectorAll('img, script:not([type]), iframe').length") == 1


def test_the_policy_stops_a_script_that_gets_in_all_the_same(page: str, place: Path, browser: Browser) -> None:
    broken = page.replace(
        "<main>", "<main><script>window.owned = 1</script><img src='https://example.org/x.png' onerror='owned2()'>"
    )
    file = place / "broken.html"
    file.write_text(broken, encoding="utf-8")
    browser.look(1280)
    browser.open(file)
    assert browser.value("typeof window.owned") == "undefined"
    assert len([line for line in browser.complaints if "Content Security Policy" in line]) >= 2
    assert browser.value("document.querySelector('.stepper output').textContent").startswith("frame 1 of")


@pytest.mark.parametrize("width", [375, 768, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_a_phone_and_a_desk_in_light_and_dark(width: int, dark: bool, path: Path, browser: Browser) -> None:
    browser.look(width, dark=dark)
    browser.open(path)
    assert browser.complaints == []
    assert [one for one in browser.requests if not one.startswith("data:")] == [path.resolve().as_uri()]
    assert browser.value("document.documentElement.scrollWidth") <= width
    # Nothing reaches beyond the window but what scrolls inside a box of its own.
    wide = """[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, pre, svg, select, .unseen')
        && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"""
    assert browser.value(wide) == []
    picture = Image.open(io.BytesIO(browser.screenshot(whole=False))).convert("L")
    assert (np.asarray(picture).mean() < 90) == dark


def test_text_has_contrast_in_both_themes(path: Path, browser: Browser) -> None:
    measure = """(() => {
      const parse = (text) => text.match(/[0-9.]+/g).slice(0, 3).map(Number);
      const luminance = (rgb) => { const [r, g, b] = rgb.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92
        : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const ground = (e) => { while (e) { const c = getComputedStyle(e).backgroundColor;
        if (!/, 0\\)|transparent/.test(c) && !/rgba/.test(c)) return parse(c); e = e.parentElement; } return [255, 255, 255]; };
      const faults = [];
      for (const e of document.querySelectorAll('main p, main th, main td, main dt, main dd, main h1, main h2, main a, nav a')) {
        if (!e.textContent.trim() || !e.offsetParent || /\\bh\\d/.test(e.className)) continue;
        const [a, b] = [luminance(parse(getComputedStyle(e).color)), luminance(ground(e))].sort((x, y) => x - y);
        if ((b + 0.05) / (a + 0.05) < 4.5) faults.push(e.outerHTML.slice(0, 80));
      }
      return faults;
    })()"""
    for dark in (False, True):
        browser.look(1280, dark=dark)
        browser.open(path)
        assert browser.value("document.querySelectorAll('main td').length") > 100
        assert browser.value(measure) == []


def test_the_button_changes_the_colours_whatever_the_system_says(path: Path, browser: Browser) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    browser.look(1280, dark=False)
    browser.open(path)
    light = browser.value(ground)
    seen = [light]
    for _ in range(3):
        browser.value("document.getElementById('theme').click()")
        seen.append(browser.value(ground))
    assert seen[1] == light  # light by choice
    assert seen[2] != light  # dark by choice
    assert seen[3] == light  # as the system again


def test_figures_take_the_colours_of_the_theme(path: Path, browser: Browser) -> None:
    colours = []
    for dark in (False, True):
        browser.look(1280, dark=dark)
        browser.open(path)
        colours.append(browser.value("getComputedStyle(document.querySelector('figure svg text')).fill"))
    assert colours[0] != colours[1]


# The panels of the run that is shown; without a picker that is the first.
TRACKS = "document.querySelector('#tracks .panel:not([hidden])')"
TIMELINE = "document.querySelector('.timelines:not([hidden]) .timeline:not([hidden])')"


def column(place: int) -> str:
    rows = f"{TRACKS}.querySelectorAll('tbody tr:not([hidden])')"
    return f"[...{rows}].map(row => row.cells[{place}].textContent.trim())"


def test_tables_sort_by_number_and_by_name(path: Path, browser: Browser, contents: list[RunContent]) -> None:
    browser.look(1280)
    browser.open(path)
    click = f"{TRACKS}.querySelectorAll('thead button')[%d].click()"
    by_accuracy = sorted(contents[0].tracks, key=lambda track: -(track.nearness or 0))
    browser.value(click % 1)
    assert browser.value(column(1)) == [number(track.measures["accuracy"]) for track in by_accuracy]
    browser.value(click % 1)
    assert browser.value(column(1)) == [number(track.measures["accuracy"]) for track in reversed(by_accuracy)]
    browser.value(click % 0)
    assert browser.value(column(0)) == [f"video{k}" for k in (0, 2, 4, 6, 8, 10)]  # 10 after 8
    assert browser.value(f"{TRACKS}.querySelector('th').getAttribute('aria-sort')") == "ascending"


def test_the_filter_shows_only_matching_tracks(path: Path, browser: Browser) -> None:
    browser.look(1280)
    browser.open(path)
    box = f"{TRACKS}.querySelector('input[type=search]')"
    browser.value(f"{box}.value = 'VIDEO1', {box}.dispatchEvent(new Event('input'))")
    assert browser.value(column(0)) == ["video10"]


def test_timelines_step_frame_by_frame_and_jump_to_faults(path: Path, browser: Browser, contents: list[RunContent]) -> None:
    timeline = contents[0].pair.timeline(contents[0].chosen[0][0])
    assert timeline.decoded is not None
    assert timeline.labels is not None
    assert timeline.imputed is not None
    assert timeline.wrong is not None
    assert timeline.probabilities is not None
    browser.look(1280)
    browser.open(path)
    slider, output = f"{TIMELINE}.querySelector('input[type=range]')", f"{TIMELINE}.querySelector('output').textContent"

    def step_to(frame: int) -> str:
        browser.value(f"{slider}.value = {frame}, {slider}.dispatchEvent(new Event('input'))")
        return str(browser.value(output))

    for frame in (1, 7, timeline.rows):
        words = step_to(frame)
        assert words.startswith(f"frame {frame} of {timeline.rows}")
        assert f"predicted {EXPR.class_names[timeline.decoded[frame - 1]]}" in words
        label = int(timeline.labels[frame - 1])
        assert ("not labelled" if label < 0 else f"label {EXPR.class_names[label]}") in words
        assert ("no face" in words) == bool(timeline.imputed[frame - 1])
        shares = browser.value(f"[...{TIMELINE}.querySelectorAll('.share')].map(one => parseInt(one.textContent))")
        np.testing.assert_allclose(shares, 100 * timeline.probabilities[frame - 1], atol=0.8)
        left = browser.value(f"parseFloat({TIMELINE}.querySelector('.cursor').style.left)")
        assert left == pytest.approx(100 * (LEFT + (RIGHT - LEFT) * (frame - 0.5) / timeline.rows), abs=0.01)
    for name, flags in (("gap", timeline.imputed), ("wrong", timeline.wrong)):
        starts = [k + 1 for k in range(1, timeline.rows) if flags[k] and not flags[k - 1]]
        assert starts
        step_to(1)
        browser.value(f"{TIMELINE}.querySelector('[data-jump={name}]:not([data-back])').click()")
        assert browser.value(output).startswith(f"frame {starts[0]} of")


def test_a_finger_on_the_picture_moves_the_cursor(path: Path, browser: Browser, contents: list[RunContent]) -> None:
    rows = contents[0].pair.timeline(contents[0].chosen[0][0]).rows
    browser.look(375)
    browser.open(path)
    stage = f"{TIMELINE}.querySelector('.stage')"
    browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
    browser.value(f"{stage}.scrollIntoView({{behavior: 'instant', block: 'center'}})")
    box = browser.value(f"(({{left, width, top}}) => [left, width, top])({stage}.getBoundingClientRect())")
    x, y = box[0] + box[1] * (LEFT + (RIGHT - LEFT) * 0.25), box[2] + 120
    browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    browser.call("Emulation.setTouchEmulationEnabled", enabled=False)
    words = browser.value(f"{TIMELINE}.querySelector('output').textContent")
    assert abs(int(words.split()[1]) - rows / 4) <= 1.5


def test_timelines_and_runs_are_shown_one_at_a_time(path: Path, browser: Browser, contents: list[RunContent]) -> None:
    browser.look(1280)
    browser.open(path)
    shown = "[...document.querySelectorAll('.timeline')].filter(e => e.offsetParent).map(e => e.dataset.key)"
    assert browser.value(shown) == ["0-0"]
    browser.value("document.querySelector('.timelines:not([hidden]) .next').click()")
    assert browser.value(shown) == ["0-1"]
    browser.value("document.querySelector('.timelines:not([hidden]) .previous').click()")
    browser.value("document.querySelector('.timelines:not([hidden]) .previous').click()")
    assert browser.value(shown) == [f"0-{len(contents[0].chosen) - 1}"]
    browser.value("""(() => { const picker = document.getElementById('run-picker');
        picker.value = '2'; picker.dispatchEvent(new Event('change')); })()""")
    assert browser.value(shown) == ["2-0"]
    names = "[...document.querySelectorAll('.run-name')].filter(e => e.offsetParent).map(e => e.textContent)"
    assert set(browser.value(names)) == {"both"}
    browser.open(path, "#timeline-1-1")
    assert browser.value(shown) == ["1-1"]
    assert browser.complaints == []


def test_without_scripts_everything_is_there(path: Path, browser: Browser, contents: list[RunContent]) -> None:
    browser.look(1280, script=False)
    browser.open(path)
    shown = "[...document.querySelectorAll('.timeline')].filter(e => e.offsetParent).length"
    assert browser.value(shown) == sum(len(content.chosen) for content in contents)
    assert browser.value("[...document.querySelectorAll('.js')].filter(e => e.offsetParent).length") == 0
    browser.look(1280)
