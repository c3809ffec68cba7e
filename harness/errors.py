"""What a user can cause, and the exit code it ends with. The only place where exit codes are set."""

from __future__ import annotations

from pathlib import Path

EXIT_DONE = 0
EXIT_FINDINGS = 1
EXIT_USAGE = 2
EXIT_DATA = 3
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class HarnessError(Exception):
    """A fault the user can cause and mend: printed as one message, never as a traceback.

    Parameters
    ----------
    problem : what is wrong, in one sentence.
    path, line : where (line is 1-based).
    found, expected : what stands there and what should.
    remedy : what to do next.
    """

    exit_code = EXIT_DATA

    def __init__(
        self,
        problem: str,
        *,
        path: str | Path | None = None,
        line: int | None = None,
        found: str | None = None,
        expected: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.problem = problem
        self.path = None if path is None else str(path)
        self.line = line
        self.found = found
        self.expected = expected
        self.remedy = remedy
        super().__init__(self._message())

    def _message(self) -> str:
        place = "" if self.path is None else self.path + ("" if self.line is None else f":{self.line}") + ": "
        parts = [place + self.problem]
        if self.found is not None:
            parts.append(f"found: {self.found}")
        if self.expected is not None:
            parts.append(f"expected: {self.expected}")
        if self.remedy is not None:
            parts.append(f"what to do: {self.remedy}")
        return "\n  ".join(parts)


class UsageError(HarnessError):
    """An unknown verb, option, split, recipe or value on the command line."""

    exit_code = EXIT_USAGE


class DataError(HarnessError):
    """Data, a run or a file that is missing, damaged or of another kind than expected."""


class MismatchError(HarnessError):
    """Things that may not be mixed: runs of other classes, tracks, frames or settings."""


class LockedError(HarnessError):
    """Another living process writes the same run."""


class UnlockableError(DataError):
    """No lock can be held in a folder: nothing can be written there, or its file system has none."""


class MissingExtraError(HarnessError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed",
            remedy=f"pip install 'abaw-harness[{extra}]'",
        )


EXTRAS = {
    **dict.fromkeys(("torch", "torchvision", "accelerate", "safetensors", "PIL", "simplejpeg", "pandas", "sklearn"), "train"),
    "scipy": "stats",
    **dict.fromkeys(("matplotlib", "jinja2"), "report"),
    "av": "video",
    "dlib": "faces",
    "timm": "timm",
    "h5py": "hdf5",
    "pyarrow": "parquet",
    **dict.fromkeys(("opensmile", "transformers"), "audio"),
}
"""Modules that need not be installed, and the extra of pyproject.toml that installs each."""


def near_names(name: str, known: list[str] | tuple[str, ...]) -> str:
    """A sentence naming what `name` was probably meant to be, and all the known names."""
    from difflib import get_close_matches

    close = get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(known)}"


def first_of(names: list[str] | tuple[str, ...], most: int = 3) -> str:
    """The first of many names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
