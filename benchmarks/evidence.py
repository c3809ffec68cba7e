"""Does pre-training on warped faces help to see expressions? The arms, figures and rule of docs/pretraining.md, row by row.

    python -m benchmarks.evidence FACES WORK --rows docs/evidence-rows.jsonl [--orl LANDMARKS] [--arms byol contrawarping ...]
    python -m benchmarks.evidence --rows docs/evidence-rows.jsonl --table

FACES is a data root whose tracks are persons; WORK holds the root with landmarks that is made of it, and the runs. Pre-training
sees the people of the training split, those without labels, and those of ORL. Every arm has the same faces, batch and number of
steps; references have no pre-training. Of each arm and seed are computed:

- gap: on people of the validation split, which no pre-training sees: won (the share of faces, as they are or warped, whose
  prediction in one view is nearer to the same version than to the other in the other view; of pre-trained arms), and the cosine
  of the features of a face and its warped self,
- probe: area under the curve of Happiness against Neutral and the mean one-against-rest area, by a linear probe on folds of
  people over all labelled frames,
- fine-tuning-5 and -20: macro-F1 on the validation people after training with labels of 5 and 20 % of the training people,
- units: mean F1 of the action units of unseen people of the embedded data set, by linear probes.

Network, side and warps are those of the first row of the gate that passes, or named. A row is kept as soon as it is known and
never computed again; a pre-training or training that was killed goes on where it stopped. --minutes ends the work between rows.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.dlib_faces import dlib_features
from benchmarks.evidence_table import primary_table, table, verdict
from benchmarks.narrow import NETWORKS
from benchmarks.people import LANDMARKS, load_faces, make_root
from benchmarks.rows import Rows
from benchmarks.unseen import as_row, happiness_and_macro_area, unit_f1
from benchmarks.warp_gate import FAMILIES, passed
from harness.challenge import AU, EXPR, Challenge
from harness.data.folds import make_folds
from harness.data.scan import scan
from harness.data.tracks import DataRoot, Track
from harness.demo.landmarks import CROP_SIZE
from harness.evaluation.intervals import Jackknife, jackknife
from harness.faces.dlib_detector import LANDMARK_MODEL
from harness.images.device import make_accelerator
from harness.inference.predict import predict
from harness.inference.settings import Scoring
from harness.kinds.confusion import confusion, supported_classes
from harness.kinds.f1 import class_f1
from harness.postprocess.chain import PostProcessing
from harness.recipes import pretraining as pretraining_recipes
from harness.recipes import recipe as recipes
from harness.recipes.pretraining import PretrainingRecipe
from harness.rows.labelled import of_run, with_labels
from harness.rows.predictions import RunPredictions
from harness.runs.store import Run
from harness.studies.features import Features, InputSettings, labelled_features
from harness.training.network import BUILTIN, initial_backbone
from harness.training.pretrain import pretrain, trained_method
from harness.training.pretraining import build_method
from harness.training.start import train
from models import registry
from models.backbones.base import Backbone


@dataclass(frozen=True)
class Arm:
    """A network to judge.

    Attributes
    ----------
    name : what it is called.
    pretraining : changes of the settings of `harness pretrain`; None for no pre-training.
    backbone : its architecture; None for that of the setting, "" for dlib's, which is not trained.
    weights : what pre-training, or the reference, starts from, as `harness pretrain` names it; None for random weights.
    """

    name: str
    pretraining: Mapping[str, str] | None = None
    backbone: str | None = None
    weights: str | None = None

    @property
    def is_drawn(self) -> bool:
        """Whether anything of the network depends on the seed."""
        return self.pretraining is not None or (self.weights is None and self.backbone != "")


WARPING = {"method": "contrawarping"}
STILL = {**WARPING, "warp_magnitude": "0"}
# Weights that know pictures already are changed less at a step. Lite0 is made of depthwise convolutions, which go backward in
# fp32 in half the time that bf16 takes on a CPU.
GENTLY = {"learning_rate": "0.04", "precision": "fp32"}
ARMS = (
    Arm("byol", {"method": "byol"}),
    Arm("contrawarping", WARPING),
    Arm("magnitude-0", STILL),
    Arm("lite0-contrawarping", {**WARPING, **GENTLY}, "lite0", BUILTIN),
    Arm("lite0-magnitude-0", {**STILL, **GENTLY}, "lite0", BUILTIN),
    Arm("random"),
    Arm("lite0", None, "lite0", BUILTIN),
    Arm("dlib", None, ""),
)
SHARED = {
    "frame_step": "1",
    "hidden": "1024",
    "batch": "64",
    "optimizer": "sgd",
    "learning_rate": "0.4",
    "weight_decay": "1.0e-4",
    "target_momentum": "0.99",
    "precision": "auto",
    "checkpoint_every": "100",
}
"""Settings of all pre-trainings that are not the defaults of `harness pretrain`."""
WARMUP_SHARE = 10
"""One in so many steps is warm-up."""
FINE_TUNING = {
    "head": "pooled",
    "frame_step": "1",
    "batch": "64",
    "iterations": "150",
    "optimizer": "adamw",
    "learning_rate": "1.0e-3",
    "weight_decay": "0.05",
    "decay_everything": "false",
    "warmup": "15",
    "precision": "auto",
    "evaluate_every": "150",
    "checkpoint_every": "50",
}
SHARES = {"fine-tuning-5": 0.05, "fine-tuning-20": 0.2}
"""Kind of row -> share of the training people whose labels are used."""
KINDS = ("gap", "probe", "units", *SHARES)
FOLDS = 5
GAP_SEED = 2_000_000
MOST_FRAMES = 2000
"""Of the embedded data set at most so many frames of a split are looked at, evenly apart."""


@dataclass(frozen=True)
class Setting:
    """What all arms have in common, and what rows are found by.

    The network of the arms that begin at random weights, the side of the pictures, the warps, and the passes over the faces.
    """

    network: str
    side: int
    magnitude: float
    family: str
    passes: int

    def warps(self) -> dict[str, str]:
        """The warps as settings of `harness pretrain`."""
        directions, family = FAMILIES[self.family]
        return {"warp_magnitude": str(self.magnitude), "warp_directions": directions, "warp_family": family}


def main() -> None:
    """Parses the command line, computes what is missing, prints the table and what the rule says of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path, nargs="?")
    parser.add_argument("work", type=Path, nargs="?")
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--orl", type=Path)
    parser.add_argument("--landmark-model", type=Path, default=LANDMARK_MODEL, help="dlib's model of 68 points")
    parser.add_argument("--dlib", type=Path, help="dlib's face recognition network, for the arm dlib")
    parser.add_argument("--embedded", type=Path, default=Path("data/demo"), help="the embedded data set, for units")
    parser.add_argument("--gate", type=Path, default=Path("docs/warp-gate.jsonl"), help="rows of the gate")
    parser.add_argument("--network", help="of the arms that begin at random; narrow for a small one [default: as in the gate]")
    parser.add_argument("--side", type=int, help="with the others: settings that the gate need not have passed")
    parser.add_argument("--magnitude", type=float)
    parser.add_argument("--family", choices=FAMILIES)
    parser.add_argument("--passes", type=int, default=50, help="over the faces")
    parser.add_argument("--arms", nargs="+", choices=[arm.name for arm in ARMS], default=[arm.name for arm in ARMS[:-1]])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no row after so many minutes")
    parser.add_argument("--threads", type=int, default=1, help="of the processor; another number gives other last bits")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    rows, gate = Rows(arguments.rows), passed(Rows(arguments.gate).all)
    if not arguments.table:
        if arguments.faces is None or arguments.work is None:
            parser.error("FACES and WORK are needed unless --table is given")
        torch.set_num_threads(arguments.threads)
        make_root(arguments.faces, arguments.work / "root", arguments.orl, arguments.landmark_model)
        setting = setting_of(arguments, gate, parser.error)
        evidence = Evidence(arguments.work, arguments.embedded, rows, setting, arguments.dlib)
        arms = [arm for arm in ARMS if arm.name in arguments.arms]
        evidence.run(arms, arguments.seeds, arguments.kinds, arguments.minutes)
    print("\n\n".join((table(rows.all), primary_table(rows.all), verdict(rows.all, gate))))


def setting_of(arguments: argparse.Namespace, gate: Sequence[Mapping[str, Any]], refuse: Callable[[str], None]) -> Setting:
    """The settings that were named, or else the first that the gate passed with random weights."""
    named = {name: getattr(arguments, name) for name in ("network", "side", "magnitude", "family")}
    if None not in named.values():
        return Setting(**named, passes=arguments.passes)
    if any(value is not None for value in named.values()):
        refuse("--network, --side, --magnitude and --family go together")
    begun_at_random = [row for row in gate if row.get("weights") is None]
    if not begun_at_random:
        refuse("no row of the gate passes: name --network, --side, --magnitude and --family to go on all the same")
    return Setting(**{name: begun_at_random[0][name] for name in named}, passes=arguments.passes)


class Evidence:
    """Computes the rows that are missing.

    Parameters
    ----------
    work : holds `root`, a data root with landmarks (benchmarks.people), and the runs.
    embedded : the embedded data set, for units.
    rows : the known ones.
    setting : of all arms.
    dlib : the file of dlib's network; None if that arm is not wanted.
    """

    def __init__(self, work: Path, embedded: Path, rows: Rows, setting: Setting, dlib: Path | None = None) -> None:
        self.root = scan(work / "root")
        self.landmarks = self.root.path / LANDMARKS
        self.runs = work / "runs"
        self.embedded = embedded
        self.rows = rows
        self.setting = setting
        self.dlib = dlib

    def run(self, arms: Sequence[Arm], seeds: Sequence[int], kinds: Sequence[str], minutes: float = float("inf")) -> None:
        """Each seed of all arms, so that whatever time allows is complete over arms; begins no row after so many minutes."""
        begin = time.monotonic()
        for seed in seeds:
            for arm in arms:
                for kind in kinds:
                    if not self._is_asked(arm, seed, kind, seeds[0]) or self.rows.find(**self._key(arm, seed, kind)) is not None:
                        continue
                    if time.monotonic() - begin > 60 * minutes:
                        return
                    started = time.process_time()
                    figures = self._figures(arm, seed, kind)
                    seconds = round(time.process_time() - started)
                    self.rows.add({**self._key(arm, seed, kind), **figures, "cpu_seconds": seconds})
                    print(f"{arm.name}, seed {seed}: {kind} in {seconds} s", flush=True)

    @staticmethod
    def _is_asked(arm: Arm, seed: int, kind: str, first_seed: int) -> bool:
        """Whether there is such a row: dlib's network is only probed; what no seed changes is looked at once."""
        return (arm.backbone != "" or kind == "probe") and (arm.is_drawn or kind in SHARES or seed == first_seed)

    def _key(self, arm: Arm, seed: int, kind: str) -> dict[str, Any]:
        passes = {} if arm.pretraining is not None else {"passes": 0}
        return {"kind": kind, "arm": arm.name, "seed": seed, **asdict(self.setting), **passes}

    def _figures(self, arm: Arm, seed: int, kind: str) -> dict[str, Any]:
        if kind in SHARES:
            return as_row(["macro_f1"], self._fine_tuned(arm, seed, SHARES[kind]))
        if kind == "gap":
            return as_row(["won", "cosine"] if arm.pretraining is not None else ["cosine"], self._gap(arm, seed))
        if kind == "units":
            return as_row(["unit_f1"], self._units(arm, seed))
        return as_row(["happiness_auc", "macro_auc"], self._probed(arm, seed))

    # Networks.

    def _backbone_file(self, arm: Arm, seed: int) -> str | None:
        """What the backbone's weights are: a pre-trained file, `builtin`, or None for random ones."""
        if arm.pretraining is None:
            return arm.weights
        done = pretrain(self._recipe(arm, seed), self.root, self._run_of(arm, seed), fresh=False, workers=0, say=print)
        if done.backbone is None:
            raise SystemExit(done.outcome.exit_code)
        return str(done.backbone)

    def _architecture(self, arm: Arm) -> str:
        name = self.setting.network if arm.backbone is None else arm.backbone
        return NETWORKS.get(name, name)

    def _backbone(self, arm: Arm, seed: int) -> Backbone:
        weights = self._backbone_file(arm, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            backbone = registry.create(self._architecture(arm), image_size=self.setting.side)
        if weights is not None:
            initial_backbone(weights, self._architecture(arm)).load_into(backbone)
        return backbone.eval()

    def _recipe(self, arm: Arm, seed: int) -> PretrainingRecipe:
        """The settings of an arm's pre-training; of an arm without any, those by which its features are looked at."""
        own = {**(arm.pretraining or WARPING)}
        # The control warps nothing, whatever the gate said.
        warps = {**self.setting.warps(), **own} if own["method"] == "contrawarping" else own
        weights = {} if arm.weights is None else {"weights": arm.weights}
        landmarks = {"landmarks": str(self.landmarks)} if own["method"] == "contrawarping" else {}
        images = sum(len(track.frames) for track in self.root.split("train"))
        steps = max(1, self.setting.passes * images // int(SHARED["batch"]))
        changes = {
            **SHARED, **warps, **weights, **landmarks,
            "backbone": self._architecture(arm), "image_size": str(self.setting.side), "seed": str(seed),
            "iterations": str(steps), "warmup": str(steps // WARMUP_SHARE),
        }  # fmt: skip
        return pretraining_recipes.load(changes)

    def _run_of(self, arm: Arm, seed: int) -> Path:
        setting = self.setting
        of_network = "" if arm.backbone is not None else f"{setting.network}-"
        return self.runs / f"{of_network}{arm.name}-{setting.side}-{setting.magnitude:g}-{setting.family}-{setting.passes}-{seed}"

    # Figures.

    def _gap(self, arm: Arm, seed: int) -> Jackknife:
        """won and the cosine, or the cosine alone, over the validation people; all arms see the same warps and views."""
        backbone = self._backbone(arm, seed)
        seen = self._recipe(replace(arm, pretraining=WARPING, weights=None), seed)
        method = build_method(seen, backbone)
        if arm.pretraining is not None:
            # BYOL's networks are ContraWarping's.
            method.load_state_dict(trained_method(Run(self._run_of(arm, seed))).state_dict())
        method.eval()
        faces = load_faces(list(self.root.split("val")), self.landmarks, CROP_SIZE)
        generator = torch.Generator().manual_seed(GAP_SEED)
        sums = []
        for person in sorted(set(faces.person.tolist())):
            rows = torch.from_numpy(np.flatnonzero(faces.person == person))
            uniforms = torch.rand(len(rows), method.uniforms, generator=generator)
            with torch.inference_mode():
                figures = method(*method.make_views(faces.images[rows], uniforms, faces.landmarks[rows]))
            sums.append([len(rows), len(rows) * float(figures["won"]), len(rows) * float(figures["warped_similarity"])])
        wanted = slice(1, 3) if arm.pretraining is not None else slice(2, 3)
        return jackknife(np.array(sums), lambda sums: sums[..., wanted] / sums[..., :1])

    def _probed(self, arm: Arm, seed: int) -> Jackknife:
        tracks = labelled(self.root.split("oof"))
        features = (
            self._features(arm, seed, tracks) if arm.backbone != "" else dlib_features(self._dlib(), tracks, self.landmarks)
        )
        return happiness_and_macro_area(features, make_folds(tracks, FOLDS, 0).fold_of)

    def _units(self, arm: Arm, seed: int) -> Jackknife:
        root = with_labels(scan(self.embedded, challenge=AU), "test", self.embedded / "test_labels_au")
        training, test = (self._features(arm, seed, root.split(name), AU) for name in ("train", "test"))
        return unit_f1(training, test)

    def _features(self, arm: Arm, seed: int, tracks: Sequence[Track], challenge: Challenge = EXPR) -> Features:
        side = self.setting.side
        return labelled_features(
            self._backbone(arm, seed),
            tracks,
            InputSettings(side, side, side),
            most=MOST_FRAMES if challenge is AU else 1_000_000,
            device=make_accelerator("fp32").device,
            workers=0,
            challenge=challenge,
        )

    def _dlib(self) -> Path:
        if self.dlib is None:
            raise SystemExit("the arm dlib wants --dlib FILE")
        return self.dlib

    def _fine_tuned(self, arm: Arm, seed: int, share: float) -> Jackknife:
        weights = self._backbone_file(arm, seed)
        side = self.setting.side
        changes = {
            **FINE_TUNING,
            "backbone": self._architecture(arm), "image_size": str(side), "test_resize": str(side * 9 // 8), "seed": str(seed),
        }  # fmt: skip
        recipe = recipes.load("res18", {**changes, **({} if weights is None else {"weights": weights})})
        root = with_share_of_people(self.root, share, seed)
        path = self._run_of(arm, seed).with_name(f"fine-{share:g}-{self._run_of(arm, seed).name}")
        training = train(recipe, root, path, fresh=False, workers=0, from_scratch=weights is None, say=print)
        if training.outcome.exit_code is not None:
            raise SystemExit(training.outcome.exit_code)
        predict(training.run, root, "val", Scoring(), print)
        answers = of_run(RunPredictions(training.run, "val", PostProcessing(seconds=0.0), root), root)
        answers = sorted(answers, key=lambda track: track.recording)
        counts = np.stack([confusion(track.labels, track.answers, len(EXPR.class_names)) for track in answers])
        return jackknife(counts, functools.partial(_mean_f1, supported_classes(counts.sum(axis=0))))


def _mean_f1(judged: NDArray[np.bool_], counts: NDArray[Any]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = class_f1(counts)[..., judged].mean(axis=-1)
    return mean


def labelled(tracks: Sequence[Track]) -> list[Track]:
    """The tracks with a labelled frame."""
    return [track for track in tracks if track.labels is not None and bool((track.labels >= 0).any())]


def with_share_of_people(root: DataRoot, share: float, seed: int) -> DataRoot:
    """The root with so many of the labelled people of its training split, and all of its validation split.

    Who they are depends on the seed alone: the people of a smaller share are among those of a larger one.
    """
    people = labelled(root.split("train"))
    drawn = np.random.default_rng(seed).permutation(len(people))[: max(1, round(share * len(people)))]
    return replace(root, tracks=(*(people[place] for place in sorted(drawn.tolist())), *root.split("val")))


if __name__ == "__main__":
    main()
