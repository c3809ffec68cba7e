"""The pages about features, sound and the winners: their commands are the program's, and no page waits to be filled in."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from harness.cli import harness
from harness.recipes.recipe import Recipe
from harness.recipes.temporal import TemporalRecipe

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("docs/temporal.md", "docs/audio.md", "docs/winners.md")
PLACEHOLDER = re.compile(r"\b(TODO|TBD|FIXME|XXX|TKTK|PLACEHOLDER|MEASURED_\w+|[Tt]o be (?:measured|filled in)|[Ll]orem ipsum)\b")


def commands_of(page: str) -> list[str]:
    """The commands of a page: lines in code that begin with `harness` or `$ harness`, and those `in backticks`."""
    text = (ROOT / page).read_text().replace("\\\n", " ")
    blocks = re.findall(r"^(?:    |\$ )(harness [^\n]+)$", text, flags=re.MULTILINE)
    inline = re.findall(r"`(harness [a-z]+ [^`\n]+)`", text)
    return [*blocks, *(command for command in inline if "..." not in command)]


COMMANDS = [(page, command) for page in PAGES for command in commands_of(page)]


def test_the_pages_hold_commands() -> None:
    assert len(COMMANDS) > 25
    assert {page for page, _ in COMMANDS} == set(PAGES)


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[command[:60] for _, command in COMMANDS])
def test_every_command_is_one_of_the_program_with_options_recipes_and_settings_that_there_are(page: str, command: str) -> None:
    _, verb, *words = shlex.split(command)
    found = harness.get_command(click.Context(harness), verb)
    assert found is not None
    parsed = found.make_context(verb, words, resilient_parsing=False)
    given = parsed.params
    name = given.get("recipe_name")
    if name is not None:
        kind = TemporalRecipe if given.get("features") else Recipe
        changes = dict(change.split("=", 1) for change in given["changes"])
        kind.load(name, changes)


@pytest.mark.parametrize("page", sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]), ids=lambda page: str(page.name))
def test_no_page_waits_for_something_to_be_filled_in(page: Path) -> None:
    assert [match[0] for match in PLACEHOLDER.finditer(page.read_text())] == []


def test_a_placeholder_is_found() -> None:
    for text in ("MEASURED_HERE", "| TODO |", "a figure, to be measured"):
        assert PLACEHOLDER.search(text)


def test_the_figures_of_the_winners_stand_in_their_recipes_as_well() -> None:
    lines = (ROOT / "docs" / "winners.md").read_text().splitlines()
    for name in ("av-gate", "av-attention", "va-transformer"):
        row = next(line for line in lines if f"`{name}`" in line)
        figures = re.findall(r"\| (\.\d+) (?=\|)", row)
        assert len(figures) == 2
        text = TemporalRecipe.locate(name).read_text()
        assert all(figure in text for figure in figures)
