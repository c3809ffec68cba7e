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
from harness.report.content import RunContent, drawn_alike, gather
from harness.report.faces import faces_of
from harness.report.page import MOST_TIMELINES, render, timelines_of_each
from harness.report.timeline import LEFT, RIGHT
from harness.runs import scores
from harness.runs.store import Run
from harness.selection.ensemble import Member, ensemble
from harness.words import number
from tests.browser import Browser
from tests.grey_faces import frame_of, grey_face
from tests.simulated_runs import labelled_root, noisy_run

# Chooses a run by its place, and the one beside it.
PICK = """(() => { const picker = document.getElementById('run-picker');
    picker.value = %s; picker.dispatchEvent(new Event('change')); })()"""
BESIDE = PICK.replace("run-picker", "beside-picker")

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
    return labelled_root(place / "root", image=grey_face)


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
    assert words.count("no verdict is possible: with ") == 2
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
    runs = [content, gather(twin, "val", root, PostProcessing(), MACRO_F1, timelines=1)]
    return render(runs, title="".join(HOSTILE), notes="\n\n".join(HOSTILE))


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
    for width in (375, 390, 1280):
        browser.look(width)
        browser.open(file)
        assert browser.value("document.documentElement.scrollWidth") <= width
        browser.value(BESIDE % 1)
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


@pytest.mark.parametrize("width", [375, 390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_a_phone_and_a_desk_in_light_and_dark(width: int, dark: bool, path: Path, browser: Browser) -> None:
    browser.look(width, dark=dark)
    browser.open(path)
    assert browser.complaints == []
    assert [one for one in browser.requests if not one.startswith("data:")] == [path.resolve().as_uri()]
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("document.body.scrollWidth") <= width
    # Nothing reaches beyond the window but what scrolls inside a box of its own.
    wide = """[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, pre, svg, select, .unseen')
        && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"""
    assert browser.value(wide) == []
    browser.value(BESIDE % 1)
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(wide) == []
    picture = Image.open(io.BytesIO(browser.screenshot(whole=False))).convert("L")
    assert (np.asarray(picture).mean() < 90) == dark


# Contrast after WCAG 2.2 of all text that is seen, on what lies below it; disabled buttons are exempt there, and the names on
# class colours in pictures, black or white, have a test of their own.
LOW_CONTRAST = """(() => {
  const parse = (text) => { const v = text.match(/[0-9.]+/g).map(Number); return v.length > 3 ? v : [...v, 1]; };
  const luminance = (rgb) => { const [r, g, b] = rgb.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92
    : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const over = (top, below) => below.map((v, i) => top[i] * top[3] + v * (1 - top[3]));
  const ground = (e) => { const own = parse(getComputedStyle(e).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, e.parentElement ? ground(e.parentElement) : [255, 255, 255]); };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faults = [];
  let seen = 0;
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !e.checkVisibility()) continue;
    if (e.closest('script, style, option, .unseen, :disabled')) continue;
    const inSvg = e.namespaceURI.endsWith('svg');
    const colour = getComputedStyle(e)[inSvg ? 'fill' : 'color'];
    if (inSvg && ['rgb(0, 0, 0)', 'rgb(255, 255, 255)'].includes(colour)) continue;
    seen += 1;
    const below = ground(inSvg ? e.closest('div, figure') : e);
    const [a, b] = [luminance(parse(colour)), luminance(below)].sort((x, y) => x - y);
    const contrast = (b + 0.05) / (a + 0.05);
    if (contrast < 4.5) faults.push(`${contrast.toFixed(2)}: ${e.outerHTML.slice(0, 100)}`);
  }
  return [seen, faults];
})()"""


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast_in_both_themes(width: int, dark: bool, path: Path, browser: Browser) -> None:
    browser.look(width, dark=dark)
    browser.open(path)
    browser.value(BESIDE % 1)
    seen, faults = browser.value(LOW_CONTRAST)
    assert seen > 500
    assert faults == []


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


@pytest.fixture(scope="module")
def alike(contents: list[RunContent], place: Path) -> Path:
    """A page of two runs that draw the same tracks, with faces."""
    runs = drawn_alike(contents[:2], 3)
    file = place / "alike.html"
    file.write_text(render(runs, faces=faces_of(runs, 40_000)), encoding="utf-8")
    return file


@pytest.mark.parametrize("width", [390, 1280])
def test_two_runs_stand_beside_one_another_in_every_section(width: int, alike: Path, browser: Browser) -> None:
    browser.look(width)
    browser.open(alike)
    place = """Object.fromEntries([...document.querySelectorAll('section')].map(section => [section.id,
        [...section.querySelectorAll('.panel:not([hidden])')].map(panel => { const box = panel.getBoundingClientRect();
        return [panel.dataset.run, box.left, box.top]; }).sort((a, b) => a[1] - b[1] || a[2] - b[2])]))"""
    assert {run for panels in browser.value(place).values() for run, *_ in panels} == {"0"}
    browser.value(PICK % 1)
    browser.value(BESIDE % 0)
    sections = {name: panels for name, panels in browser.value(place).items() if panels}
    assert set(sections) == {"scores", "columns", "timelines", "gaps", "tracks", "training", "provenance"}
    for name, ((first, *a), (second, *b)) in sections.items():
        # Timelines share their frames, so one stands above the other; so does all on a phone.
        assert (first, second) == ("1", "0")
        above = name == "timelines" or width < 1000
        assert (a[0] == b[0] and a[1] < b[1]) if above else (a[0] < b[0] and a[1] == b[1]), name
    browser.value(BESIDE % "''")
    assert {run for panels in browser.value(place).values() for run, *_ in panels} == {"1"}
    assert browser.complaints == []


def test_timelines_of_two_runs_show_the_same_track_and_step_together(alike: Path, browser: Browser) -> None:
    browser.look(1280)
    browser.open(alike)
    browser.value(BESIDE % 1)
    shown = "[...document.querySelectorAll('.timeline')].filter(e => e.offsetParent).map(e => e.dataset.key)"
    output = (
        "[...document.querySelectorAll('.timeline')].filter(e => e.offsetParent).map(e => e.querySelector('output').textContent)"
    )
    assert browser.value(shown) == ["0-0", "1-0"]
    browser.value("document.querySelectorAll('.timelines .next')[1].click()")
    assert browser.value(shown) == ["0-1", "1-1"]
    slider = "document.querySelector('#timeline-1-1 input[type=range]')"
    browser.value(f"{slider}.value = 17, {slider}.dispatchEvent(new Event('input'))")
    assert [words.split(" of ")[0] for words in browser.value(output)] == ["frame 17", "frame 17"]
    browser.value("document.querySelector('#timeline-0-1 [data-jump=wrong]:not([data-back])').click()")
    first, second = (words.split(" of ")[0] for words in browser.value(output))
    assert first == second != "frame 17"


def test_the_face_beside_the_stepper_is_that_of_the_frame_or_the_nearest(
    alike: Path, browser: Browser, contents: list[RunContent]
) -> None:
    browser.look(390, dark=True)
    browser.open(alike)
    told = json.loads(Reader(alike.read_text()).raw["script"][0])
    kept = told["faces"][told["timelines"]["0-0"]["faces"]]["frames"]
    track = drawn_alike(contents[:2], 3)[0].chosen[0][0]
    imputed = contents[0].pair.timeline(track).imputed
    assert imputed is not None
    assert 10 < len(kept) < (~imputed).sum()
    slider, face = f"{TIMELINE}.querySelector('input[type=range]')", f"{TIMELINE}.querySelector('.face')"
    for frame in range(1, len(imputed) + 1, 4):
        browser.value(f"{slider}.value = {frame}, {slider}.dispatchEvent(new Event('input'))")
        caption, hidden, source = browser.value(
            f"(face => [face.innerText, face.querySelector('img').hidden, face.querySelector('img').src])({face})"
        )
        if imputed[frame - 1]:
            assert (caption.strip(), hidden) == ("no face", True)
            continue
        shown = frame_of(base64.b64decode(source.removeprefix("data:image/jpeg;base64,")))
        assert abs(shown - frame) == min(abs(other - frame) for other in kept)
        assert (caption.strip(), hidden) == (f"frame {shown}", False)
    assert browser.complaints == []
    assert browser.value("document.documentElement.scrollWidth") <= 390


def test_every_section_with_marks_says_what_they_mean(path: Path, browser: Browser) -> None:
    browser.look(390)
    browser.open(path)
    with_legend = "[...document.querySelectorAll('section')].filter(one => one.querySelector('.legend')).map(one => one.id)"
    assert browser.value(with_legend) == [
        "scores",
        "comparison",
        "columns",
        "timelines",
        "gaps",
        "tracks",
        "training",
        "settings",
    ]
    # A figure of several colours has its own, outside the picture.
    dumb = """[...document.querySelectorAll('figure > svg')].filter(svg => new Set([...svg.querySelectorAll('path, use')].map(
        one => one.getAttribute('fill')).filter(fill => fill && fill.startsWith('#'))).size > 1
        && !svg.parentElement.querySelector('.legend')).map(svg => svg.getAttribute('aria-label'))"""
    assert browser.value(dumb) == []
    words = browser.value("[...document.querySelectorAll('#columns .panel:not([hidden]) .legend')].map(one => one.innerText)")
    assert any("95 % interval" in one for one in words)
    assert any("predicted as labelled" in one for one in words)
    assert any("as sure as right" in one for one in words)


def test_what_is_wider_than_its_box_says_so_and_scrolls_by_the_keyboard(path: Path, browser: Browser) -> None:
    browser.look(390)
    browser.open(path)
    box = f"{TRACKS}.querySelector('.scroll')"
    hint = f"getComputedStyle({box}, '::before').content"
    assert browser.value(f"{box}.scrollWidth > {box}.clientWidth")
    assert "scroll sideways" in browser.value(hint)
    assert browser.value(f"{box}.tabIndex") == 0
    assert browser.value(f"{box}.classList.contains('more-right')")
    browser.value(f"{box}.focus()")
    for _ in range(60):
        browser.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", code="ArrowRight", windowsVirtualKeyCode=39)
    wait = "new Promise(done => setTimeout(done, 400))"
    browser.value(wait)
    assert browser.value(f"{box}.scrollLeft") > 0
    browser.value(f"{box}.scrollLeft = 10000")
    browser.value(wait)
    assert not browser.value(f"{box}.classList.contains('more-right')")
    # The names stay in sight.
    assert browser.value(f"{box}.querySelector('tbody th').getBoundingClientRect().left - {box}.getBoundingClientRect().left") < 2
    browser.look(1280)
    browser.open(path)
    fits = "[...document.querySelectorAll('.scroll')].filter(one => one.offsetParent && one.scrollWidth <= one.clientWidth)"
    assert browser.value(f"{fits}.length") > 3
    assert browser.value(f"{fits}.filter(one => one.tabIndex === 0 && one.scrollHeight <= one.clientHeight).length") == 0


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
    last = contents[0].chosen[-1][0]
    browser.value(PICK % 2)
    # Where the other run draws the same track, that is shown.
    tracks = [track for track, _ in contents[2].chosen]
    assert browser.value(shown) == [f"2-{tracks.index(last) if last in tracks else 0}"]
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
