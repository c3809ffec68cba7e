"""The doctor's summary as one page of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.data import tables
from harness.data.doctor import Examination
from harness.data.totals import Totals, group_names, official, totals
from harness.kinds.parts import parts_of

# Differences shown of each kind; of the rest only the number.
SHOWN_DELTAS = 5

_ROWS = (
    ("tracks", "tracks"),
    ("recordings", "recordings"),
    ("rows", "rows"),
    ("frames seen", "seen"),
    ("frames missing", "missing"),
    ("tracks with gaps", "tracks_with_gaps"),
    ("tracks without images", "tracks_without_images"),
    ("images beyond rows", "images_beyond_rows"),
    ("labelled frames", "labelled"),
    ("labelled, no image", "labelled_without_image"),
)


def page(examination: Examination) -> str:
    """Counts by split, labels beside the official totals, rows against frames, numbering and images; without the findings."""
    splits = tables.split_table(examination)
    blocks = [_counts(splits), _labels(examination, splits), _differences(splits), _images(examination)]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _counts(splits: Sequence[dict[str, Any]]) -> list[str]:
    head = f"{'':<24}" + "".join(f"{row['split']:>14}" for row in splits)
    lines = [f"{title:<24}" + "".join(f"{row[key]:>14,}" for row in splits) for title, key in _ROWS]
    sources = "".join(f"{', '.join(row['rows_from']):>14}" for row in splits)
    return [head, *lines, f"{'rows from':<24}{sources}"]


def _labels(examination: Examination, splits: Sequence[dict[str, Any]]) -> list[str]:
    """Labelled frames by class, active unit and part of a value's range, each split beside the official release.

    There the file of both splits counts twice, and so does the row of a repeated image. A dash is what was never published.
    """
    challenge = examination.data.challenge
    shown = [row["split"] for row in splits if row["frames_of_class"]]
    if not shown:
        return []
    published = official(challenge)
    pairs = [one for split in shown for one in (totals(examination.survey, split), published.get(split, Totals(None, None)))]
    lines = [f"{'labelled frames':<24}" + "".join(f"{split:>14}{'official':>14}" for split in shown)]
    for place, name in enumerate(parts_of(challenge).strata):
        lines.append(_line(name, [one.frames[place] if one.frames else None for one in pairs]))
    groups = group_names(challenge)
    for place, name in enumerate(groups):
        title = "all" if len(groups) == 1 else f"labelled: {name}"
        lines.append(_line(title, [one.labelled[place] if one.labelled else None for one in pairs]))
    lines.append(_line("label files", [one.files for one in pairs]))
    lines.append(_line("label lines", [one.rows for one in pairs]))
    if examination.survey.both_splits:
        names = ", ".join(examination.survey.both_splits)
        lines.append(f"in both splits, counted in both here, used in val alone: {names}")
    return lines


def _line(title: str, numbers: Sequence[int | None]) -> str:
    return f"{title:<24}" + "".join(f"{'-' if number is None else f'{number:,}':>14}" for number in numbers)


def _differences(splits: Sequence[dict[str, Any]]) -> list[str]:
    titles = {
        "rows_less_largest_image": "rows minus highest image number",
        "rows_less_decoded_frames": "rows minus decoded frames",
    }
    return [f"{title}, {row['split']}: {_deltas(row[key])}" for key, title in titles.items() for row in splits if row[key]]


def _deltas(counts: dict[str, int]) -> str:
    shown = sorted(counts.items(), key=lambda item: -item[1])[:SHOWN_DELTAS]
    words = ", ".join(f"{delta} in {count:,}" for delta, count in shown)
    rest = sum(counts.values()) - sum(count for _, count in shown)
    return words + (f", others in {rest:,}" if rest else "")


def _images(examination: Examination) -> list[str]:
    first = tables.numbering(examination)
    lines = [f"first image number: 1 in {first['1']:,} folders, above 1 in {first['above']:,}, 0 in {first['0']:,}"]
    images = tables.image_table(examination)
    if images is None:
        return [*lines, "images: not read"]
    days = {images["first_read_on"], images["last_read_on"]}
    how = "decoded" if images["decoded"] else "read without decoding"
    lines.append(
        f"images: {images['images']:,} ({images['bytes'] / 1e6:,.1f} MB) {how} on {' to '.join(sorted(days))}; "
        f"{images['damaged']:,} damaged, {images['unusual']:,} unusual, {images['same_as_frame_before']:,} as the frame before"
    )
    sizes = list(images["sizes"].items())
    words = ", ".join(f"{count:,} of {size}" for size, count in sizes[:SHOWN_DELTAS])
    return [*lines, f"sizes: {words}" + (f" and {len(sizes) - SHOWN_DELTAS:,} other sizes" if len(sizes) > SHOWN_DELTAS else "")]
