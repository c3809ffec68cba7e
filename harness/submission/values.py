"""One number of a row: whether it is written as it has to be, and if not, what is wrong with it."""

from __future__ import annotations

import math
import re
import unicodedata

from harness.challenge import Challenge, Field, formats_of
from harness.findings import FindingKind
from harness.submission import catalogue
from harness.submission.writer import REAL

_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_REAL = re.compile(REAL)


def allowed(field: Field) -> str:
    """The values of `field` in words."""
    return "0 or 1" if field.binary else f"{field.low} to {field.high}"


def fault(text: str, field: Field, challenge: Challenge) -> FindingKind | None:
    """What is wrong with `text` as a value of `field`; None if nothing is."""
    form = _INTEGER if field.integral else _REAL
    if form.fullmatch(text):
        number = float(text)
        if field.low <= number <= field.high:
            return None
        return catalogue.VALUE_INFINITE if math.isinf(number) else _out_of_range(number, field, challenge)
    return _fault_of_form(text, field, challenge)


def _fault_of_form(text: str, field: Field, challenge: Challenge) -> FindingKind:
    if not text:
        return catalogue.VALUE_ABSENT
    number = _number(text)
    if number is None:
        named = text.lower() in (name.lower() for name in challenge.class_names)
        return catalogue.VALUE_CLASS_NAME if named else catalogue.VALUE_NOT_A_NUMBER
    if math.isnan(number):
        return catalogue.VALUE_NAN
    if math.isinf(number):
        return catalogue.VALUE_INFINITE
    if not field.low <= number <= field.high:
        return _out_of_range(number, field, challenge)
    if field.binary and 0 < number < 1:
        return catalogue.ROW_PROBABILITIES
    return catalogue.VALUE_NUMBER_FORM


def _number(text: str) -> float | None:
    try:
        return float(unicodedata.normalize("NFKC", text))
    except ValueError:
        return None


def _out_of_range(number: float, field: Field, challenge: Challenge) -> FindingKind:
    if number == field.ignore:
        return catalogue.VALUE_IGNORE_CODE
    named_alike = [other for form in formats_of(challenge) for other in form.challenge.fields if other.name == field.name]
    elsewhere = any(other.low <= number <= other.high for other in named_alike)
    return catalogue.VALUE_OTHER_EDITION if elsewhere and number.is_integer() else catalogue.VALUE_RANGE


def is_one_hot(texts: list[str]) -> bool:
    """Whether one field is 1 and all the others 0, however they are written."""
    numbers = [_number(text) for text in texts]
    return numbers.count(1.0) == 1 and numbers.count(0.0) == len(texts) - 1


def are_probabilities(texts: list[str]) -> bool:
    """Whether the fields are numbers from 0 to 1 that add up to 1, within what rounding to two digits does."""
    numbers = [_number(text) for text in texts]
    known = [number for number in numbers if number is not None and 0 <= number <= 1]
    return len(known) == len(texts) and abs(sum(known) - 1) <= 0.01 * len(texts)
