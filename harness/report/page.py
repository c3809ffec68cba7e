"""A report: one HTML page that holds everything it shows, loads nothing, and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from importlib import resources
from itertools import groupby
from typing import Any

from harness.errors import MismatchError, MissingExtraError
from harness.findings import printable
from harness.report import figures
from harness.report.content import RunContent
from harness.report.faces import SIZE, Faces

LONGEST_TEXT = 2000
MOST_GAPS = 20

# With many runs each gets fewer timelines, so that the page stays small enough to be sent by mail.
MOST_TIMELINES = 48


def timelines_of_each(runs: int, asked: int) -> int:
    """How many timelines each of `runs` runs gets when `asked` are wanted for each."""
    return max(1, min(asked, MOST_TIMELINES // max(runs, 1)))


def render(
    runs: Sequence[RunContent],
    tick: Callable[[], Any] = lambda: None,
    faces: Faces | None = None,
    title: str = "",
    notes: str = "",
) -> str:
    """The page for these runs, of which the first is the one others are compared with; `tick` is called after each timeline.

    `faces` stand beside the stepper of a timeline. `title` is said instead of the names of the runs, `notes` below it, whose
    paragraphs are parted by blank lines.

    The same contents give the same text. Whatever stands in names, settings and manifests comes out as text: jinja2 escapes it,
    characters that steer a terminal or the direction of writing are spelled out, the page's content security policy allows
    its own style and script by their sha256 and nothing else, and figures are rebuilt from known elements.

    Raises MissingExtraError without jinja2 or matplotlib, MismatchError for runs of different classes.
    """
    _refuse_other_challenges(runs)
    try:
        import jinja2
        import markupsafe
    except ImportError as error:
        raise MissingExtraError("jinja2", "report", "a report") from error
    from harness.report import views
    from harness.words import counted, number

    def finalize(value: Any) -> Any:
        if isinstance(value, str) and not isinstance(value, markupsafe.Markup):
            return printable(value, LONGEST_TEXT)
        return value

    environment = jinja2.Environment(
        autoescape=True, finalize=finalize, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(views=views, counted=counted, most_gaps=MOST_GAPS, face_size=SIZE)
    environment.filters["number"] = number
    template = environment.from_string(_resource("page.html"))
    style = _resource("page.css") + views.palette_css(runs[0].class_names)
    script = _resource("page.js")
    maker = views.FigureMaker()
    with figures.drawing():
        shown: list[dict[str, Any]] = [
            {
                "content": run,
                "figures": views.run_figures(run, maker),
                "timelines": views.timelines(run, place, maker, tick, faces),
            }
            for place, run in enumerate(runs)
        ]
        told = {one["key"]: one.pop("told") for run in shown for one in run["timelines"]}
        return template.render(
            runs=shown,
            contents=runs,
            split=runs[0].split,
            scored=[run for run in runs if run.evaluation is not None],
            comparison=views.comparison(runs, maker),
            overview=list(views.overview_figures(runs, maker)),
            faces=faces,
            title=title,
            notes=[[markupsafe.escape(line) for line in part] for part in _paragraphs(notes)],
            told={"classes": list(runs[0].class_names), "timelines": told, "faces": views.told_faces(faces)},
            style=markupsafe.Markup(style),
            script=markupsafe.Markup(script),
            policy=_policy(style, script),
        )


def _refuse_other_challenges(runs: Sequence[RunContent]) -> None:
    first = runs[0]
    for run in runs[1:]:
        if run.challenge != first.challenge:
            raise MismatchError(
                "runs of different classes, units or values cannot stand on one page",
                found=f"{first.name}: {', '.join(first.parts.columns)}; {run.name}: {', '.join(run.parts.columns)}",
                remedy="make a page of each",
            )


def _paragraphs(notes: str) -> list[list[str]]:
    """The printable lines of each paragraph, whole: a note is never cut short."""
    lines = [line.expandtabs().rstrip() for line in notes.splitlines()]
    return [[printable(line, len(line)) for line in part] for filled, part in groupby(lines, bool) if filled]


def _policy(style: str, script: str) -> str:
    """The content security policy: nothing is loaded or sent; the page's own style and script are known by their digests."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'sha256-{_digest(script)}'",
            f"style-src 'sha256-{_digest(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _resource(name: str) -> str:
    return resources.files("harness.report").joinpath(name).read_text(encoding="utf-8")
