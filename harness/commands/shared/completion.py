"""What a shell offers where a verb wants a run, a submission or a recipe. Nothing is read but names of folders and recipes.

A run that a process which died put aside has its name again before it is offered, as in `harness runs`.
"""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem


def runs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The runs below runs/."""
    from harness.runs import store

    return _beginning(incomplete, [run.name for run in store.every()])


def submissions(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The submissions below submissions/, and files."""
    from harness import files
    from harness.commands.shared.submitting import SUBMISSIONS
    from harness.submission.record import RECORD_NAME

    found = Path(SUBMISSIONS).glob(f"*/{RECORD_NAME}")
    written = sorted(str(path.parent) for path in found if not files.is_junk(path.parent.name))
    # Files first: a shell takes them where nothing of the rest begins with what was typed.
    return [CompletionItem(incomplete, type="file"), *_beginning(incomplete, written)]


def runs_and_submissions(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Runs, submissions and files."""
    return [*submissions(context, parameter, incomplete), *runs(context, parameter, incomplete)]


def recipes(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The recipes that come with the program, and files."""
    from harness.recipes.recipe import Recipe
    from harness.recipes.temporal import TemporalRecipe

    return [CompletionItem(incomplete, type="file"), *_beginning(incomplete, [*Recipe.names(), *TemporalRecipe.names()])]


def _beginning(incomplete: str, names: list[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
