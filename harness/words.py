"""How figures, counts and measures are written wherever the program speaks: three digits of a score, a count with its noun."""

from __future__ import annotations

from collections.abc import Sequence

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins so for a formula."""

# Measures as they are printed, where that is not their name.
_MEASURES = {
    "f1": "F1",
    "macro_f1": "macro-F1",
    "ccc": "CCC",
    "pearson": "Pearson",
    "rmse": "RMSE",
    "mean_absolute_error": "mean error",
    "sign_agreement": "same sign",
}


def number(value: float | None) -> str:
    """A score, a share or a gain from 0 to 1 with three digits and no leading zero, .714; a dash where there is none."""
    if value is None:
        return "-"
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def measured(name: str) -> str:
    """A measure, or part of its name, in words: macro-F1, CCC valence, same sign."""
    return _MEASURES.get(name) or " ".join(_MEASURES.get(part, part) for part in name.split("_"))


def percent(share: float, digits: int = 0) -> str:
    """A share in per cent, with a blank before the sign as elsewhere: 12 %, 12.50 % with two digits."""
    return f"{100 * share:.{digits}f} %"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun: `1 track`, `1,200 tracks`, `0 classes` where `plural` is classes."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def listed(words: Sequence[str]) -> str:
    """Words in a row: `values`, `values and units`, `values, classes and units`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def plain_cell(text: str) -> str:
    """The text of a CSV cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text
