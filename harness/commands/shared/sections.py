"""The sections of a verb's help: its own options, those of post-processing in one block, and at the end what is rarely needed."""

from __future__ import annotations

import click

OWN = "Options"


class PostprocessingOption(click.Option):
    """An option that decides what becomes of stored scores."""

    section = "Post-processing"


class RareOption(click.Option):
    """An option that most users never need."""

    section = "Rarely needed"


SECTIONS = (OWN, PostprocessingOption.section, RareOption.section)


class Verb(click.Command):
    """A command whose help lists its options by section."""

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes each section that has an option, in the order of SECTIONS."""
        records: dict[str, list[tuple[str, str]]] = {title: [] for title in SECTIONS}
        for parameter in self.get_params(context):
            record = None if isinstance(parameter, click.Argument) else parameter.get_help_record(context)
            if record is not None:
                records[getattr(parameter, "section", OWN)].append(record)
        for title, listed in records.items():
            if listed:
                with formatter.section(title):
                    formatter.write_dl(listed)
