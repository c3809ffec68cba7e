"""Makes a feature set of the sound of every track: resumable at any moment, sharded, each track whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.audio.clock import frame_times
from harness.audio.waveform import Waveform, read_waveform
from harness.challenge import EXPR
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError
from harness.runs import provenance, scores
from harness.runs.scores import FEATURES, ScoreIndex, TrackRecord, TrackScores
from harness.runs.shards import shard as share_of
from harness.runs.store import Run, adding

Progress = Callable[[Iterable[Track], int], Iterable[Track]]


@dataclass(frozen=True, eq=False)
class Extractor:
    """What turns sound into vectors.

    Attributes
    ----------
    settings : all that changes numbers, for the record.
    width : numbers of a vector.
    vectors : float32 (S, width) of a waveform at the times (S,) in seconds.
    """

    settings: Mapping[str, Any]
    width: int
    vectors: Callable[[Waveform, NDArray[np.float64]], NDArray[np.floating]]


@dataclass
class AudioSummary:
    """What a call did.

    Attributes
    ----------
    made, kept : tracks whose vectors were made now, and before.
    complete : whether every track of the split has its vectors.
    silent : tracks whose film has no stream of sound.
    without_film : tracks whose recording has no film in the folder.
    faults : what was wrong with a film or its sound, by track.
    several : films with more than one stream of sound, and how many.
    unheard : frames of tracks with sound at whose time there is none.
    """

    made: int = 0
    kept: int = 0
    complete: bool = False
    silent: list[str] = field(default_factory=list)
    without_film: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    several: dict[str, int] = field(default_factory=dict)
    unheard: int = 0


def extract(
    run: Run,
    split: str,
    tracks: Sequence[Track],
    films: Mapping[str, Sequence[Path]],
    extractor: Extractor,
    *,
    stream: int = 0,
    shard: tuple[int, int] = (1, 1),
    verify: bool = False,
    progress: Progress = lambda tracks, total: tracks,
) -> AudioSummary:
    """Makes what is missing or stale of a split; `shard` (i, n) says which tracks are this call's share of it.

    `films` are the files of each recording. A track without a film or whose film has no sound has vectors of no frame. Raises
    DataError for a recording with several files, LockedError if another process makes the same share.
    """
    directory = scores.directory(run, split, FEATURES)
    what = f"the features of split {split!r} of {run.name!r}"
    with adding(run), files.lock(directory / f".lock-{shard[0]}-of-{shard[1]}-0", what):
        files.remove_temporaries(directory)
        files.remove_temporaries(directory / scores.RECORDS)
        return _extract(run, split, tracks, films, extractor, stream, shard, verify, progress)


def _extract(
    run: Run,
    split: str,
    tracks: Sequence[Track],
    films: Mapping[str, Sequence[Path]],
    extractor: Extractor,
    stream: int,
    shard: tuple[int, int],
    verify: bool,
    progress: Progress,
) -> AudioSummary:
    settings = {**extractor.settings, "stream": stream, "width": extractor.width, "modality": "audio"}
    key = scores.key_of(None, settings)
    summary = AudioSummary()
    share = share_of(tracks, *shard)
    for track in progress(share, len(share)):
        film = _film_of(track, films)
        stamp = _stamp(film, track)
        if _is_done(run, split, track, key, stamp, film, verify):
            summary.kept += 1
            continue
        scores.remove_index(run, split, FEATURES)
        heard = _vectors(track, film, extractor, stream, summary)
        sha256 = scores.write_track(run, split, track.name, heard, FEATURES)
        content = "" if film is None else files.sha256(film)
        if _stamp(film, track) != stamp:
            raise DataError("the film changed while it was read", path=film, remedy="run the command again when it is complete")
        record = TrackRecord(track.rows, track.rows_from, len(heard.frame), (), 0, content, sha256)
        scores.write_record(run, split, track.name, key, stamp, record, FEATURES)
        summary.made += 1
    summary.complete = _finish(run, split, tracks, key, settings)
    return summary


def manifest_of(root: DataRoot, extractor: Extractor) -> dict[str, Any]:
    """run.json of a feature set of sound."""
    return {
        "kind": "audio",
        "challenge": root.challenge.name,
        "class_names": [],
        "source": f"sound, {extractor.settings['kind']}",
        "extractor": dict(extractor.settings),
        "data": root.identity(),
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
        "where": {"data": str(root.path.resolve())},
    }


def completed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of a run.json; those that name no challenge are of EXPR."""
    return {"challenge": EXPR.name, **manifest}


def _film_of(track: Track, films: Mapping[str, Sequence[Path]]) -> Path | None:
    found = films.get(track.recording, ())
    if len(found) > 1:
        raise DataError(
            f"the recording {track.recording} has several films",
            path=found[0].parent,
            found=", ".join(path.name for path in found),
            expected="one",
        )
    return found[0] if found else None


def _stamp(film: Path | None, track: Track) -> str:
    """A cheap digest that changes when the film or the track's rows do."""
    if film is None:
        return f"no film {track.rows}"
    status = film.stat()
    return f"{film.name} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino} {track.rows}"


def _is_done(run: Run, split: str, track: Track, key: str, stamp: str, film: Path | None, verify: bool) -> bool:
    known = scores.read_record(run, split, track.name, FEATURES)
    if known is None or known[0] != key or (known[2].rows, known[2].rows_from) != (track.rows, track.rows_from):
        return False
    if known[1] == stamp and not verify:
        return True
    if known[2].images != ("" if film is None else files.sha256(film)):
        return False
    scores.write_record(run, split, track.name, key, stamp, known[2], FEATURES)
    return True


def _vectors(track: Track, film: Path | None, extractor: Extractor, stream: int, summary: AudioSummary) -> TrackScores:
    """The vectors of the frames at which something is heard; what is wrong is noted in `summary`."""
    nothing = TrackScores(np.empty(0, np.int32), np.empty((0, extractor.width), np.float32))
    if film is None:
        summary.without_film.append(track.name)
        return nothing
    waveform = read_waveform(film, stream)
    if waveform is None or len(waveform.samples) == 0:
        summary.silent.append(track.name)
        return nothing
    times, fault = frame_times(film)
    if waveform.fault or fault:
        summary.faults[track.name] = waveform.fault or fault
    if waveform.streams > 1:
        summary.several[film.name] = waveform.streams
    times = times[: track.rows]
    heard = waveform.heard(times)
    summary.unheard += track.rows - int(heard.sum())
    frames = (np.flatnonzero(heard) + 1).astype(np.int32)
    if not len(frames):
        return nothing
    return TrackScores(frames, extractor.vectors(waveform, times[heard]))


def _finish(run: Run, split: str, tracks: Sequence[Track], key: str, settings: Mapping[str, Any]) -> bool:
    """Writes the index when every track of the split has vectors of this key; whoever comes last writes the same bytes."""
    records = dict(_records(run, split, tracks, key))
    if len(records) < len(tracks):
        return False
    scores.write_index(run, split, ScoreIndex((), "features", None, settings, records), FEATURES)
    return True


def _records(run: Run, split: str, tracks: Sequence[Track], key: str) -> Iterator[tuple[str, TrackRecord]]:
    for track in tracks:
        known = scores.read_record(run, split, track.name, FEATURES)
        if known is not None and known[0] == key:
            yield track.name, known[2]
