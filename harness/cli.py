"""The Click group. A verb's module is imported when the verb is called, so that `--help` and light verbs start at once."""

from __future__ import annotations

import importlib
import io
import os
import sys
from keyword import iskeyword
from typing import Any

import click
from click.shell_completion import shell_complete

from harness import __version__, starter  # noqa: F401 - notes who started this process, before anything takes time
from harness.errors import EXIT_INTERRUPTED, EXTRAS, DataError, HarnessError, MissingExtraError
from harness.streams import leave, occupy, tell

# group -> verb -> what it does; groups and verbs in the order of a team's way through the competition
GROUPS = {
    "Start": {
        "demo-data": "make the embedded data set of real, moving faces",
        "doctor": "audit a data root, all faults at once; pack its crops for network disks",
        "crop": "make aligned face crops from videos",
        "rehearse": "rehearse on this machine: hours, memory, disk, and what is missing",
    },
    "Train": {
        "recipes": "list the recipes, or explain every setting of one",
        "train": "train a recipe; resumes by itself",
        "folds": "divide the tracks into folds by recording",
        "crossval": "train over folds: out-of-fold scores, and the mean of the fold models",
        "sweep": "train several settings with several seeds, and compare them",
        "features": "store a run's features of every frame, for temporal models",
        "audio": "store the sound of every recording as features of its frames",
    },
    "Predict and submit": {
        "predict": "score a split, post-process, write and validate a submission",
        "validate": "check submissions, every fault with file, line and remedy",
        "pack": "make the archive to send, with ledger and data statement",
    },
    "Judge and choose": {
        "evaluate": "score a run, a submission or one official text file against labels",
        "compare": "test whether one run or submission is better than another; show what changed between two",
        "report": "write one page about runs: scores, curves, timelines, comparison",
        "inspect": "show the timeline of a track, as a picture or as text",
        "runs": "list the runs and their scores",
        "tune": "choose a run's post-processing by nested folds over recordings",
        "ensemble": "average the probabilities and values of runs",
        "best": "make up to five submissions worth sending from all runs",
    },
    "Bring your own predictions": {
        "import": "make a run from each array of scores or features in a file of your own",
    },
    "Advanced": {
        "weights": "show what is inside a weights file and which backbone it fits; convert it to safetensors",
        "pretrain": "pre-train a backbone without labels: ContraWarping, BYOL, SimCLR, MoCo, MAE",
        "probe": "probe the features of a frozen backbone: linear classifier, neighbours, retrieval",
        "check-plugin": "check code of your own against what the harness relies on",
        "reproduce": "make a run again and compare it byte by byte with the first",
        "table1": "train every system of the paper's Table 1 and print its score beside the paper's",
    },
}
VERBS = {verb: meaning for group in GROUPS.values() for verb, meaning in group.items()}

# Earlier name of a verb -> the words that it stands for; it goes on working and is not listed.
RENAMED = {
    "cache": ("doctor", "--pack"),
    "diff": ("compare", "--changes"),
    "submission": ("predict", "--from-scores"),
}

# The variable by which shells ask for completions: eval "$(_HARNESS_COMPLETE=bash_source harness)", zsh_source, fish_source.
COMPLETION = "_HARNESS_COMPLETE"


class LazyGroup(click.Group):
    """A group that knows its verbs by name and imports `harness.commands.<verb>` only when one is called."""

    def list_commands(self, context: click.Context) -> list[str]:
        """The verbs, in the order of use."""
        return list(VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of a verb, or None for an unknown one."""
        if name not in VERBS:
            return None
        word = name.replace("-", "_")
        module = importlib.import_module(f"harness.commands.{word}_" if iskeyword(word) else f"harness.commands.{word}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, context: click.Context, arguments: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the verb, also by its earlier name, or ends with the nearest known one."""
        name, *rest = arguments
        if name in RENAMED:
            tell(f"`harness {name}` is now `harness {' '.join(RENAMED[name])}`; the earlier name goes on working")
            arguments = [*RENAMED[name], *rest]
        elif name not in VERBS and not name.startswith("-"):
            from harness.errors import near_names

            raise click.UsageError(f"unknown verb {name!r}; {near_names(name, list(VERBS))}")
        return super().resolve_command(context, arguments)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of verbs without importing any of them."""
        widest = max(map(len, VERBS))
        for title, verbs in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(verb.ljust(widest), meaning) for verb, meaning in verbs.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="harness")
def harness() -> None:
    """From Aff-Wild2 on disk to an ABAW submission that was checked line by line.

    \b
    First steps without any data:   harness demo-data     (in a clone of the repository: make demo)
    With the data:                  harness train --recipe res50 --data /data/aff-wild2
    Another challenge:              harness train --challenge VA --data /data/aff-wild2     (or AU, MTL, CE)
    """


def main(arguments: list[str] | None = None) -> Any:
    """Runs the command line and ends the process with the exit codes of harness.errors."""
    occupy()
    wanted = os.environ.get(COMPLETION)
    if wanted is not None:
        sys.exit(shell_complete(harness, {}, "harness", COMPLETION, wanted))
    try:
        # Not harness.main(): click would end a closed pipe with exit code 1, which here means findings.
        with harness.make_context("harness", sys.argv[1:] if arguments is None else list(arguments)) as context:
            code = _invoke(context)
        sys.stdout.flush()
    except HarnessError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRAS:
            raise
        _complain(str(MissingExtraError(module, EXTRAS[module], "this command")))
        sys.exit(MissingExtraError.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        _complain(shown.getvalue(), "")
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted")
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output went away, as `| head` does; nothing is wrong.
        leave(sys.stdout)
        sys.exit(0)
    except OSError as error:
        # What no command foresaw of a file system: no permission, a name too long, a disk that fails, output that finds no room.
        if error.strerror is None:
            raise
        _complain(str(DataError(error.strerror, path=None if error.filename is None else os.fsdecode(error.filename))))
        leave(sys.stdout)
        sys.exit(DataError.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _invoke(context: click.Context) -> Any:
    """Runs the command, and leaves the group of processes where it ends in order: returning, or by an exit code of its own.

    Not after a fault, where other processes may wait in the midst of something and leaving could wait for them.
    """
    try:
        code = harness.invoke(context)
    except SystemExit:
        _leave_other_processes()
        raise
    _leave_other_processes()
    return code


def _leave_other_processes() -> None:
    """Ends the group of processes that `accelerate launch` began, if there is one.

    Left to the end of the interpreter, the group's threads may find it half gone and abort the process.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _complain(message: str, speaker: str = "harness: ") -> None:
    """Prints a message whose parts may come from hostile names: nothing in it is obeyed by a terminal."""
    from harness.findings import printable_lines

    tell(printable_lines(f"{speaker}{message}".rstrip("\n")))
