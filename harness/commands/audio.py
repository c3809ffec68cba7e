"""`harness audio`: the sound of every recording as features of its frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.shared.options import say
from harness.streams import show
from harness.words import counted

if TYPE_CHECKING:
    from harness.audio.extract import AudioSummary, Extractor
    from harness.data.tracks import Track
    from harness.runs.store import Run

MOST_NAMED = 5


@click.command("audio")
@click.argument("data", type=click.Path())
@click.option("--videos", required=True, type=click.Path(path_type=Path), help="Folder of the raw recordings.")
@click.option(
    "--features",
    "kind",
    default="logmel",
    show_default=True,
    help="logmel, egemaps (needs opensmile), or hf:FOLDER, a wav2vec 2.0, HuBERT, WavLM or Whisper encoder of transformers.",
)
@click.option("--layers", default=None, help="With hf: the hidden states to average, e.g. 8,10,12. [default: the last four]")
@click.option("--split", "splits", multiple=True, help="train, val or test; may be repeated. [default: all there are]")
@click.option(
    "--stream", type=click.IntRange(min=0), default=0, show_default=True, help="Which audio stream, where a film has several."
)
@click.option("--challenge", default=None, metavar="NAME", help="Whose tracks. [default: what DATA holds; of several EXPR]")
@click.option("--run", "name", default=None, help="Name of the feature set. [default: audio-KIND, or audio-KIND-CHALLENGE]")
@click.option(
    "--shard", default="1/1", show_default=True, help="Do part i of n, e.g. 2/4; the last part to end finishes the split."
)
@click.option("--half", is_flag=True, help="Store half precision: half the disk.")
@click.option("--verify", is_flag=True, help="Compare the bytes of all films with those that were read.")
def command(
    data: str,
    videos: Path,
    kind: str,
    layers: str | None,
    splits: tuple[str, ...],
    stream: int,
    challenge: str | None,
    name: str | None,
    shard: str,
    half: bool,
    verify: bool,
) -> None:
    """Store a vector of what is heard at the moment each frame is shown, for models on features.

    Frames without a face have one as well. A recording without sound has none: missing sound is not silence.
    Tracks that are done are kept when the command is interrupted and run again. Nothing is ever downloaded.

    \b
    Examples:
      harness audio /data/aff-wild2 --videos /data/aff-wild2/videos
      harness audio /data/aff-wild2 --videos /data/aff-wild2/videos --features hf:/models/wav2vec2-large --run speech
      harness train --recipe temporal-transformer --features res50-a --features audio-logmel --data /data/aff-wild2
    """
    from harness.audio.extract import completed, manifest_of
    from harness.challenge import EXPR
    from harness.commands.shared.next_steps import after_features
    from harness.commands.shared.options import challenge_of
    from harness.data.scan import scan
    from harness.data.tracks import SPLITS
    from harness.runs import store

    extractor = _extractor(kind, layers, half)
    root = scan(Path(data), challenge=challenge_of(Path(data), challenge, of_several=EXPR))
    ending = f"-{challenge.lower()}" if challenge else ""
    path, complete = store.path_of(name or f"audio-{kind.partition(':')[0]}{ending}"), True
    with store.joined(path, manifest_of(root, extractor), completed) as run:
        for split in splits or [entry for entry in SPLITS if root.members(entry)]:
            summary = _extract(run, split, root.split(split), videos, extractor, stream, shard, verify)
            _report(split, summary)
            complete &= summary.complete
    if complete:
        show(f"next: {after_features([run], root, data)}")
    else:
        show(f"next: the same command for the other shards, --shard I/{shard.partition('/')[2]}")


def _extractor(kind: str, layers: str | None, half: bool) -> Extractor:
    from harness.audio.kinds import make_extractor
    from harness.errors import UsageError

    try:
        wanted = tuple(int(part) for part in layers.split(",")) if layers else ()
    except ValueError as error:
        raise UsageError("layers are whole numbers with commas between", found=str(layers)) from error
    return make_extractor(kind, wanted, half)


def _extract(
    run: Run, split: str, tracks: Sequence[Track], videos: Path, extractor: Extractor, stream: int, shard: str, verify: bool
) -> AudioSummary:
    from harness.audio.extract import extract
    from harness.data.videos import find_videos
    from harness.runs.shards import parse_shard

    return extract(
        run,
        split,
        tracks,
        find_videos(videos),
        extractor,
        stream=stream,
        shard=parse_shard(shard),
        verify=verify,
        progress=_progress,
    )


def _progress(tracks: Iterable[Any], total: int) -> Iterable[Any]:
    from harness.progress import tracked

    return tracked(tracks, "audio", total, "track")


def _report(split: str, summary: AudioSummary) -> None:
    show(f"{split}: {counted(summary.made, 'track')} made, {summary.kept} unchanged")
    for names, what in (
        (summary.without_film, "without a film in the folder"),
        (summary.silent, "whose film has no sound"),
        ([f"{name} ({fault})" for name, fault in summary.faults.items()], "with damaged sound or film"),
        ([f"{name} ({count})" for name, count in summary.several.items()], "whose film has several audio streams (see --stream)"),
    ):
        if names:
            more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
            say(f"warning: {split}: {counted(len(names), 'track')} {what}: {', '.join(names[:MOST_NAMED])}{more}")
    if summary.unheard:
        say(f"{split}: {counted(summary.unheard, 'frame')} without sound at their time, in tracks that have sound")
