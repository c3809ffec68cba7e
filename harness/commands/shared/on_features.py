"""--features and --fps of the verbs that train, and what does not go with them; shared by train and crossval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from harness.commands.shared import completion
from harness.errors import UsageError


def features_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--features RUN, which may be repeated, and --fps N."""
    options = [
        click.option(
            "--features",
            multiple=True,
            metavar="RUN",
            shell_complete=completion.runs,
            help="Learn from the stored features of this run, with a recipe on features; several are joined as the recipe says.",
        ),
        click.option(
            "--fps", type=float, default=None, help="With --features: short for --set fps=N, the rate where none is known."
        ),
    ]
    for decorate in reversed(options):
        function = decorate(function)
    return function


def refuse_of_images(given: Mapping[str, object]) -> None:
    """Raises UsageError for an option about images that is given beside --features."""
    for option, value in given.items():
        if value:
            raise UsageError(f"{option} is about images; with --features nothing but stored features is learned from")
