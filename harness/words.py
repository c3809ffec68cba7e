"""How figures and counts are written wherever the program speaks: a score has three digits, a count agrees with its noun."""

from __future__ import annotations

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins so for a formula."""


def number(value: float | None) -> str:
    """A score, a share or a gain from 0 to 1 with three digits and no leading zero, .714; a dash where there is none."""
    if value is None:
        return "-"
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def percent(share: float, digits: int = 0) -> str:
    """A share in per cent, with a blank before the sign as elsewhere: 12 %, 12.50 % with two digits."""
    return f"{100 * share:.{digits}f} %"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun: `1 track`, `1,200 tracks`, `0 classes` where `plural` is classes."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def plain_cell(text: str) -> str:
    """The text of a CSV cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text
