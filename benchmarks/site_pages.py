"""The pages of the site that are made of the program while the site is built, so that they say what the program does.

MkDocs loads this file as a hook (mkdocs.yml). Verbs come from Click, recipe keys from the fields of the recipes, editions from
harness.challenge, the names of the Python interface from `harness.__all__`, and the notebooks from docs/notebooks.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import harness
from harness.challenge import FORMATS, REFUSED, Challenge, Format, challenge_named, ordinal
from harness.cli import GROUPS
from harness.cli import harness as program
from harness.recipes.pretraining import PretrainingRecipe
from harness.recipes.recipe import Recipe
from harness.recipes.settings import BaseRecipe, LabelledRecipe, default_of
from harness.recipes.temporal import TemporalRecipe

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

NOTEBOOKS = Path(__file__).resolve().parent.parent / "docs" / "notebooks"
MEASURES = {
    "macro_f1": "macro-F1 of the classes",
    "accuracy": "accuracy",
    "unit_f1": "mean F1 of the action units",
    "unit_accuracy": "mean accuracy of the action units",
    "ccc_valence": "CCC of valence",
    "ccc_arousal": "CCC of arousal",
}
_LITERAL = "\b"
"""Click's mark of a paragraph that is printed as it stands."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages to the files of the site."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def pages() -> dict[str, str]:
    """The text of each generated page, Markdown, by its path in the site."""
    made: dict[str, Callable[[], str]] = {
        "reference/verbs.md": verbs_page,
        "reference/recipe-keys.md": recipe_keys_page,
        "reference/editions.md": editions_page,
        "reference/python.md": python_page,
    }
    notebooks = {f"notebooks/{path.stem}.md": notebook_page(path) for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
    return {**{name: make() for name, make in made.items()}, **notebooks}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    """What would part a cell or begin a tag is written as itself; within code it is anyway."""
    is_code = text.startswith("`") and text.endswith("`")
    return text if is_code else text.replace("|", "\\|").replace("<", "&lt;")


def code(text: str) -> str:
    """Text as code within a line; nothing for no text."""
    return f"`{text}`" if text else ""


# Verbs


def verbs_page() -> str:
    """Each verb with its help and options, in the groups of `harness --help`."""
    parts = ["# Verbs", "What `harness VERB --help` prints, made of the program while this site was built."]
    context = click.Context(program, info_name="harness")
    for title, verbs in GROUPS.items():
        parts.append(f"## {title}")
        for name in verbs:
            command = program.get_command(context, name)
            assert command is not None
            parts += verb_section(name, command)
    return "\n\n".join(parts) + "\n"


def verb_section(name: str, command: click.Command) -> Iterator[str]:
    """Heading, usage, help and options of one verb."""
    context = click.Context(command, info_name=f"harness {name}")
    yield f"### harness {name}"
    usage = " ".join([f"harness {name}", *command.collect_usage_pieces(context)])
    yield f"```\n{usage}\n```"
    for text in (command.help, command.epilog):
        yield from paragraphs(inspect.cleandoc(text or ""))
    records = [record for option in command.params if (record := option.get_help_record(context)) and record[1]]
    if records:
        yield table(("option", "meaning"), [(code(names), meaning) for names, meaning in records])


def paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a help text; those that Click prints as they stand become code below their first line."""
    for paragraph in filter(None, text.split("\n\n")):
        if not paragraph.startswith(_LITERAL):
            yield paragraph.replace("<", "&lt;")
            continue
        head, *lines = paragraph.removeprefix(_LITERAL).strip("\n").splitlines()
        yield head
        if lines:
            yield "```console\n" + "\n".join(f"$ {line.strip()}" for line in lines) + "\n```"


# Recipes


def recipe_keys_page() -> str:
    """Every key of every kind of recipe: type, default, what is allowed, and what it means."""
    kinds: dict[str, tuple[type[BaseRecipe], str]] = {
        "Recipes on images": (Recipe, "`harness train --recipe NAME`; a network that sees one image."),
        "Recipes on features": (
            TemporalRecipe,
            "`harness train --recipe NAME --features RUN`; a model that sees stored features.",
        ),
        "Recipes of pre-training": (
            PretrainingRecipe,
            "`harness pretrain --set KEY=VALUE`; no labels are read. There is one recipe, of these defaults.",
        ),
    }
    parts = [
        "# Recipe keys",
        "A recipe is a flat YAML file of these keys; one that is absent has its default. `--set KEY=VALUE` changes one for a "
        "run, and a file may name another recipe as `base`. `harness recipes NAME` prints the same with a recipe's own values.",
    ]
    for title, (kind, meaning) in kinds.items():
        parts += [f"## {title}", meaning]
        if issubclass(kind, LabelledRecipe):
            parts.append(table(("recipe", "what it is"), [(code(name), kind.load(name).about) for name in kind.names()]))
        head = ("key", "type", "default", "allowed", "meaning")
        parts.append(table(head, [key_row(entry) for entry in fields(kind) if entry.name != "about"]))
    return "\n\n".join(parts) + "\n"


def key_row(entry: Field[Any]) -> tuple[str, str, str, str, str]:
    """One key as a row of the table."""
    rules = entry.metadata
    allowed = ", ".join(rules["choices"] or ())
    bounds = (("at least", rules["lowest"]), ("at most", rules["highest"]))
    allowed = allowed or ", ".join(f"{words} {bound:g}" for words, bound in bounds if bound is not None)
    default = json.dumps(default_of(entry), ensure_ascii=False)
    return code(entry.name), str(entry.type), code(default), allowed, rules["meaning"]


# Editions


def editions_page() -> str:
    """What each edition asks for in each challenge, and how large the official data are, as far as anybody published it."""
    parts = [
        "# Editions and formats",
        "Made of `harness/challenge.py`, where each number stands with its source. What stands in *italics* was read in no "
        "source: it follows from other editions or from what teams did. A dash is what nobody published.",
        "## Official data",
        table(
            ("challenge", "split", "tracks", "rows", "labelled rows", "rows whose image stands twice"),
            [row for name in ("EXPR", "VA", "AU", "MTL") for row in official_rows(challenge_named(name))],
        ),
        "## Formats",
    ]
    for form in sorted(FORMATS, key=lambda form: (form.edition, form.challenge.name)):
        parts += [f"### {form.name}", table(("asked for", "value"), format_rows(form))]
    parts.append("## Not answered frame by frame")
    parts.append(
        table(
            ("challenge", "what it is", "editions"),
            [(name, meaning, ", ".join(map(ordinal, editions))) for name, (meaning, editions) in REFUSED.items()],
        )
    )
    return "\n\n".join(parts) + "\n"


def official_rows(challenge: Challenge) -> Iterator[tuple[str, ...]]:
    """What the official labels of a challenge hold, a row for each split."""
    for split, official in (("train", challenge.training), ("val", challenge.validation)):
        if official is not None:
            labelled = ", ".join(f"{count:,} ({name})" for name, count in official.labelled)
            rows = "–" if official.rows is None else f"{official.rows:,}"
            yield challenge.name, split, f"{official.tracks:,}", rows, labelled, f"{official.repeats:,}"


def format_rows(form: Format) -> Iterator[tuple[str, str]]:
    """What one edition asks for in one challenge, a row for each thing."""
    rule = form.data_rule
    values = {
        "image_column": ("first line", code(form.header)),
        "layout": ("files", "a text file for each track" if form.layout == "tracks" else "one file with a row for each image"),
        "answer_name": ("name of the file", code(form.answer_name)),
        "score": ("score", in_words(form)),
        "submissions": ("submissions of a team", str(form.submissions or "–")),
        "test_tracks": ("test tracks", f"{form.test_tracks:,}" if form.test_tracks else "–"),
        "test_rows": ("test rows", f"{form.test_rows:,}" if form.test_rows else "–"),
        "annotation_folders": ("folders of annotations", ", ".join(map(code, form.annotation_folders))),
        "names_files": ("lists of test tracks", ", ".join(map(code, form.names_files))),
        "sample_files": ("sample files", ", ".join(map(code, form.sample_files))),
        "sent_to": ("sent to", form.sent_to),
        "data_rule": ("may be learned from", "" if rule is None else f"{rule.labels}; {rule.weights} ({rule.source})"),
    }
    for attribute, (name, text) in values.items():
        if text:
            yield name, text if form.verified(attribute) or text == "–" else f"*{text}*"


def in_words(form: Format) -> str:
    """How an edition ranks, with its measures in words."""
    return " + ".join(MEASURES[name] if weight == 1 else f"{weight:g} × {MEASURES[name]}" for weight, name in form.score.parts)


# Python


def python_page() -> str:
    """The names of the package, documented from their docstrings by mkdocstrings."""
    parts = [
        "# Python",
        "The names of the package `harness`: typed, documented, and the same functions that the verbs call. "
        "[From Python](../python.md) shows them at work; what lies in modules below may move.",
    ]
    places = {name: place.replace(":", ".") for name, place in harness._PLACES.items()}
    parts += [
        f"## `harness.{name}` {{ #harness.{name} }}\n\n::: {places[name]}\n    options:\n      heading_level: 3"
        for name in harness.__all__
    ]
    return "\n\n".join(parts) + "\n"


# Notebooks


def notebook_page(path: Path) -> str:
    """A notebook as a page: its text, its code, and what the code printed when the notebook was last run."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        printed = "".join("".join(output["text"]) for output in cell["outputs"])
        if printed:
            parts.append(f"```text\n{printed.rstrip()}\n```")
    parts.append(f"*This page is `docs/notebooks/{path.name}`; `make notebooks` runs it anew.*")
    return "\n\n".join(parts) + "\n"
