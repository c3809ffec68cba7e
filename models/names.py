"""Errors of names: one that nobody has, with what was probably meant, and one whose package is not installed."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

SHOWN = 20


class UnknownNameError(KeyError):
    """`name` is none of the `known` ones; the message suggests the nearest."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = list(known)
        close = get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        listed = f" Known: {', '.join(known)}." if len(known) <= SHOWN else ""
        self.message = f"unknown {kind} {name!r}.{hint}{listed}"
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message


class MissingPackageError(ImportError):
    """What `purpose` names needs the optional package `package`, which the extra `extra` brings."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self.package = package
        self.extra = extra
        self.purpose = purpose
        super().__init__(f"{purpose} needs the package {package!r}, which is not installed")
