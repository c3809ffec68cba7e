"""A second, short and slow reader of answers, written apart from the first: it takes a file exactly as asked for, or none."""

from __future__ import annotations

import math
import re

from harness.challenge import Challenge

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def accepts(data: bytes, header: str, images: list[str] | None, rows: int, challenge: Challenge) -> bool:
    """Whether `data` is the header and then a row for each of `images` in order (None: `rows` rows without image names)."""
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        return False
    lines = text.split("\n")
    if lines[-1] == "":
        lines = lines[:-1]
    if not lines or lines[0] != header or len(lines) != rows + 1:
        return False
    for index, line in enumerate(lines[1:]):
        fields = line.split(",")
        if images is not None and fields.pop(0) != images[index]:
            return False
        if len(fields) != len(challenge.fields):
            return False
        for text, field in zip(fields, challenge.fields, strict=True):
            if field.kind == "real":
                if not NUMBER.fullmatch(text) or not math.fabs(float(text)) <= 1:
                    return False
            elif text not in [str(value) for value in range(field.low, field.high + 1)]:
                return False
    return True
