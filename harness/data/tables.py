"""What the doctor found, as tables of plain values: per split, per track, of the images, and everything as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import findings
from harness.challenge import Challenge
from harness.data.doctor import Examination
from harness.data.folds import strata_counts
from harness.data.totals import official, totals
from harness.data.tracks import SPLITS, Track, is_labelled
from harness.kinds.parts import parts_of


def split_table(examination: Examination) -> list[dict[str, Any]]:
    """For each split with tracks: what it holds and what it lacks. A file of both splits is counted in validation alone."""
    return [_split_row(examination, split) for split in SPLITS if any(track.split == split for track in examination.data.tracks)]


def _split_row(examination: Examination, split: str) -> dict[str, Any]:
    challenge = examination.data.challenge
    tracks = [track for track in examination.data.tracks if track.split == split]
    # Of a challenge that takes some frames only, a row is a frame it takes, and a repeat counts once.
    rows = sum(_frames(track) for track in tracks)
    seen = sum(len(track.frames) for track in tracks)
    labels = [(track, track.labels) for track in tracks if track.labels is not None]
    labelled = [(track, np.flatnonzero(is_labelled(own, challenge).any(axis=1)) + 1) for track, own in labels]
    return {
        "split": split,
        "tracks": len(tracks),
        "recordings": len({track.recording for track in tracks}),
        "rows": rows,
        "rows_from": dict(sorted(Counter(track.rows_from for track in tracks).items())),
        "seen": seen,
        "missing": rows - seen,
        "tracks_with_gaps": sum(len(track.frames) < _frames(track) for track in tracks),
        "tracks_without_images": sum(not len(track.frames) for track in tracks),
        "images_beyond_rows": sum(track.clipped for track in tracks),
        "labelled": sum(len(frames) for _, frames in labelled),
        "labelled_without_image": sum(len(np.setdiff1d(frames, track.frames)) for track, frames in labelled),
        "frames_of_class": _histogram(tracks, challenge),
        "rows_less_largest_image": _deltas(track.rows - int(track.frames[-1]) for track in tracks if len(track.frames)),
        "rows_less_decoded_frames": _deltas(
            track.rows - examination.frame_counts[track.recording]
            for track in tracks
            if track.recording in examination.frame_counts and track.rows_from != "images"
        ),
    }


def _frames(track: Track) -> int:
    """How many frames of a track there are to answer."""
    return track.rows if track.asked is None else len(np.unique(track.asked))


def _histogram(tracks: Sequence[Track], challenge: Challenge) -> list[int]:
    """Labelled frames by stratum of the challenge, which is a class where it has classes; empty without labels."""
    counts: NDArray[np.int64] = np.sum([strata_counts(track, challenge) for track in tracks if track.labels is not None], axis=0)
    return np.atleast_1d(counts).tolist() if any(track.labels is not None for track in tracks) else []


def _deltas(values: Iterable[int]) -> dict[str, int]:
    """How often each difference occurs, smallest first, keys as text so that they survive JSON."""
    return {f"{delta:+d}" if delta else "0": count for delta, count in sorted(Counter(values).items())}


def numbering(examination: Examination) -> dict[str, int]:
    """How many crop folders have a smallest image number of 0, of 1, and above."""
    counts = {"0": 0, "1": 0, "above": 0}
    for _, listing in examination.survey.folders.values():
        if len(listing.frames):
            counts[str(listing.frames[0]) if listing.frames[0] < 2 else "above"] += 1
    return counts


def image_table(examination: Examination) -> dict[str, Any] | None:
    """Sums over the images that were read, None if none were."""
    audits = examination.audits
    if not audits:
        return None
    sizes: Counter[str] = Counter()
    for audit in audits.values():
        sizes.update(audit.sizes)
    return {
        "images": sum(audit.images for audit in audits.values()),
        "bytes": sum(audit.total_bytes for audit in audits.values()),
        "sizes": dict(sizes.most_common()),
        "damaged": sum(audit.damaged_count for audit in audits.values()),
        "unusual": sum(audit.odd_count for audit in audits.values()),
        "same_as_frame_before": sum(audit.repeated for audit in audits.values()),
        "decoded": all(audit.decoded for audit in audits.values()),
        "first_read_on": min(audit.read_on for audit in audits.values()),
        "last_read_on": max(audit.read_on for audit in audits.values()),
    }


def track_table(examination: Examination) -> list[dict[str, Any]]:
    """For each track: its counts, largest gap and frame rate."""
    return [
        {
            "track": track.name,
            "recording": track.recording,
            "split": track.split,
            "rows": track.rows,
            "rows_from": track.rows_from,
            "seen": len(track.frames),
            "missing": _frames(track) - len(track.frames),
            "longest_gap": int(np.diff(track.frames, prepend=0, append=track.rows + 1).max()) - 1,
            "images_beyond_rows": track.clipped,
            "frames_of_class": _histogram([track], examination.data.challenge),
            "frame_rate": track.frame_rate,
            "decoded_frames": examination.frame_counts.get(track.recording),
        }
        for track in examination.data.tracks
    ]


def as_json(examination: Examination) -> dict[str, Any]:
    """Everything the doctor found, as plain values."""
    challenge = examination.data.challenge
    return {
        "data": str(examination.data.path),
        "fingerprint": examination.data.fingerprint(),
        "challenge": challenge.name,
        "classes": list(parts_of(challenge).strata),
        "splits": split_table(examination),
        "official_totals": {split: asdict(one) for split, one in official(challenge).items()},
        "totals": {split: asdict(totals(examination.survey, split)) for split in SPLITS},
        "first_image_number": numbering(examination),
        "images": image_table(examination),
        "recordings": {
            name: {"frames": one.frames, "declared": one.declared, "fps": one.fps, "fault": one.fault}
            for name, one in examination.recordings.items()
        },
        "tracks": track_table(examination),
        **findings.as_json(examination.findings),
    }
