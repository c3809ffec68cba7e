"""Challenges and editions as frozen values: every number and name of the competition stands here, with its source.

Parser, metric, writer and checks take these values as arguments; nothing else in the house spells a class name or a header.

Sources are the organisers' papers and pages and the files teams printed or committed, named at each value. What no file or page
says, but follows from them, is listed under `inferred` of a format; everything else was read in at least one of the sources.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise
from typing import Literal

from harness.errors import UsageError, near_names

FieldKind = Literal["class", "unit", "real"]
Layout = Literal["tracks", "single"]
ArchiveLayout = Literal["root", "folder"]


@dataclass(frozen=True)
class Field:
    """One number of an answer row.

    Attributes
    ----------
    name : what the number says.
    kind : "class", an integer label; "unit", 0 or 1 for an action unit; "real", a decimal number.
    low, high : the smallest and the largest value allowed.
    ignore : the annotation value that means "not labelled"; never an answer.
    """

    name: str
    kind: FieldKind
    low: int
    high: int
    ignore: int

    @property
    def integral(self) -> bool:
        """Whether its numbers are whole."""
        return self.kind != "real"

    @property
    def binary(self) -> bool:
        """Whether it is 0 or 1."""
        return self.kind == "unit"


@dataclass(frozen=True)
class OfficialSplit:
    """What the organisers' labels of a split hold, as teams counted it.

    Attributes
    ----------
    tracks : annotated tracks; files, where each track has one.
    rows : label lines, headers left out.
    labelled : labelled rows, by the first field of what is labelled together: both values, an expression, all units.
    repeats : rows whose image stands in an earlier row already; the multi-task files have some, and they count like any other.
    frames : labelled frames of each class, empty where nobody published them.
    """

    tracks: int
    rows: int | None
    labelled: tuple[tuple[str, int], ...]
    repeats: int = 0
    frames: tuple[int, ...] = ()


@dataclass(frozen=True)
class Challenge:
    """What is predicted for a frame.

    Attributes
    ----------
    name : short name as used in file and folder names.
    class_names : classes in label order; empty for challenges of values.
    columns : the names of the annotation header. Their number is not that of the fields: EXPR names its eight classes over one.
    ignore_label : the annotation value that means "not labelled" (of the first field).
    fields : the numbers of an answer row, in order.
    training_frames : labelled training frames of each class in the official data; empty when they are not known.
    training, validation : what the official labels hold, None where nobody counted them.
    """

    name: str
    class_names: tuple[str, ...]
    columns: tuple[str, ...]
    ignore_label: int
    fields: tuple[Field, ...]
    training_frames: tuple[int, ...] = ()
    training: OfficialSplit | None = None
    validation: OfficialSplit | None = None

    @property
    def header(self) -> str:
        """The first line of an annotation file, without its line end."""
        return ",".join(self.columns)

    @property
    def integral(self) -> bool:
        """Whether every field is an integer, so that values are held as int8 (else float64)."""
        return all(field.integral for field in self.fields)

    @property
    def ignored(self) -> tuple[int, ...]:
        """What means "not labelled" in each field."""
        return tuple(field.ignore for field in self.fields)

    @property
    def class_field(self) -> int | None:
        """Which field holds a class, if one does."""
        return next((position for position, field in enumerate(self.fields) if field.kind == "class"), None)

    def names_of(self, field: Field) -> tuple[str, ...]:
        """What the numbers of a field are called, from its lowest on: classes, or 0 and 1; none of decimal numbers."""
        return {"class": self.class_names, "unit": ("0", "1"), "real": ()}[field.kind]

    @property
    def together(self) -> tuple[slice, ...]:
        """Fields that are labelled together: both values; an expression; all units.

        A row in which one of them has its `ignore` counts as not labelled in any of them (README of the annotation files: such a
        frame is to be ignored).
        """
        ends = list(accumulate((len(list(fields)) for _, fields in groupby(self.fields, lambda field: field.kind)), initial=0))
        return tuple(slice(start, end) for start, end in pairwise(ends))


# Order of the annotation header and of the labels 0..7 since the 3rd edition; the first two had no "Other".
EXPR_CLASSES = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other")
# Header of the sample file of the 6th edition.
COMPOUND_CLASSES = (
    "Fearfully_Surprised",
    "Happily_Surprised",
    "Sadly_Surprised",
    "Disgustedly_Surprised",
    "Angrily_Surprised",
    "Sadly_Fearful",
    "Sadly_Angry",
)
# Annotation headers since the 2nd edition, and of the 1st.
UNITS = ("AU1", "AU2", "AU4", "AU6", "AU7", "AU10", "AU12", "AU15", "AU23", "AU24", "AU25", "AU26")
UNITS_OF_EDITION_1 = ("AU1", "AU2", "AU4", "AU6", "AU12", "AU15", "AU20", "AU25")


def _class_field(name: str, classes: int) -> Field:
    return Field(name, "class", 0, classes - 1, ignore=-1)


def _unit_fields(names: tuple[str, ...]) -> tuple[Field, ...]:
    return tuple(Field(name, "unit", 0, 1, ignore=-1) for name in names)


_AFFECT_FIELDS = (Field("valence", "real", -1, 1, ignore=-5), Field("arousal", "real", -1, 1, ignore=-5))

# Summed over the published label counts of the 248 training files, the twice released 122-60-1920x1080-1 included.
_EXPR_TRAINING_FRAMES = (180227, 17153, 10978, 9110, 97302, 80671, 32033, 169887)
EXPR = Challenge(
    name="EXPR",
    class_names=EXPR_CLASSES,
    columns=EXPR_CLASSES,
    ignore_label=-1,
    fields=(_class_field("expression", 8),),
    training_frames=_EXPR_TRAINING_FRAMES,
    # Per-file counts one team published for the 10th edition, which agree with other teams' of the 3rd to 8th.
    training=OfficialSplit(248, 1_110_367, (("expression", 597_361),), frames=_EXPR_TRAINING_FRAMES),
    validation=OfficialSplit(
        70, 453_535, (("expression", 284_230),), frames=(83176, 6127, 5322, 8473, 34941, 25594, 12338, 108259)
    ),
)
EXPR_7 = Challenge("EXPR", EXPR_CLASSES[:7], EXPR_CLASSES[:7], -1, (_class_field("expression", 7),))
VA = Challenge(
    name="VA",
    class_names=(),
    columns=("valence", "arousal"),
    ignore_label=-5,
    fields=_AFFECT_FIELDS,
    # Counted in the files the winners of the 10th edition committed; every row with a -5 has it in both values.
    training=OfficialSplit(356, 1_682_057, (("valence", 1_679_857),)),
    validation=OfficialSplit(76, 383_814, (("valence", 382_021),)),
)
AU = Challenge(
    name="AU",
    class_names=(),
    columns=UNITS,
    ignore_label=-1,
    fields=_unit_fields(UNITS),
    # Printed by a team of the 5th and 6th edition; the training files are the 541 of the data less those of the other splits.
    training=OfficialSplit(295, None, (("AU1", 1_359_523),)),
    validation=OfficialSplit(105, None, (("AU1", 445_845),)),
)
AU_8 = Challenge("AU", (), UNITS_OF_EDITION_1, -1, _unit_fields(UNITS_OF_EDITION_1))
# Five names over sixteen columns, the image's name among them.
MTL = Challenge(
    name="MTL",
    class_names=EXPR_CLASSES,
    columns=("valence", "arousal", "expression", "aus"),
    ignore_label=-5,
    fields=(*_AFFECT_FIELDS, _class_field("expression", 8), *_unit_fields(UNITS)),
    # Printed by a team of the 11th edition, whose files are those of the 4th and 7th; the 3rd's were other ones.
    training=OfficialSplit(257, 142_382, (("valence", 103_917), ("expression", 90_645), ("AU1", 103_316)), repeats=951),
    validation=OfficialSplit(50, 26_876, (("valence", 26_876), ("expression", 15_440), ("AU1", 26_876)), repeats=210),
)
CE = Challenge("CE", COMPOUND_CLASSES, COMPOUND_CLASSES, -1, (_class_field("expression", 7),))

# Side in pixels of the images in `cropped_aligned`, the same in every edition, as one team's code for them says.
ALIGNED_CROP_SIZE = 112

# The column of image names: EXPR, VA, AU and CE since the 5th edition; MTL.
IMAGE_LOCATION = "image_location"
IMAGE = "image"


@dataclass(frozen=True)
class Score:
    """A challenge's score as a weighted sum of measures.

    `parts` pairs a weight with a measure: macro_f1 (mean F1 of the classes), accuracy, unit_f1 (mean F1 of the action units),
    unit_accuracy, ccc_valence and ccc_arousal (concordance correlation). `words` are how it is called in a sentence,
    `reported` is the highest that a team reported on validation, None where there is none to compare with.
    """

    parts: tuple[tuple[float, str], ...]
    words: str = "score"
    reported: float | None = None

    def __str__(self) -> str:
        return " + ".join(measure if weight == 1 else f"{weight:g} {measure}" for weight, measure in self.parts)


# The highest on validation: winners of EXPR and VA in the 10th edition (2603.12221, 2603.13056), CLIP with a TCN in AU of the
# 8th, CPRL in MTL of the 11th (2607.16290).
MACRO_F1 = Score(((1.0, "macro_f1"),), "macro-F1", 0.5368)
# The official table of the 2nd edition: 0.67 * 76.33 + 0.33 * 80.69 = 77.77.
MACRO_F1_AND_ACCURACY = Score(((0.67, "macro_f1"), (0.33, "accuracy")), "0.67 macro-F1 + 0.33 accuracy")
UNIT_F1 = Score(((1.0, "unit_f1"),), "mean F1 of the units", 0.580)
# The same table: (50.59 + 88.82) / 2 = 69.70.
UNIT_F1_AND_ACCURACY = Score(((0.5, "unit_f1"), (0.5, "unit_accuracy")), "0.5 unit F1 + 0.5 unit accuracy")
MEAN_CCC = Score(((0.5, "ccc_valence"), (0.5, "ccc_arousal")), "mean CCC", 0.658)
# Mean concordance, macro-F1 of the expressions and mean F1 of the units; at most 3 (papers of the 3rd and 7th edition's teams).
MULTI_TASK = Score((*MEAN_CCC.parts, (1.0, "macro_f1"), (1.0, "unit_f1")), "score of all tasks", 1.7259)


@dataclass(frozen=True)
class DataRule:
    """What an edition lets a team learn from, in words, and where that stands."""

    labels: str
    weights: str
    source: str


_NOT_ON_AFF_WILD2 = "pre-trained models may be used if they were not trained on Aff-Wild2"
# Nothing else was read of the other editions of EXPR, VA and AU, and nothing speaks against its holding there.
UNI_TASK = DataRule(
    labels="only the labels of the challenge itself may be used, none of other tasks of Aff-Wild2",
    weights=_NOT_ON_AFF_WILD2,
    source="papers of the 6th edition",
)
STATIC_IMAGES = DataRule(
    labels="s-Aff-Wild2 and any public or private data may be used, but not the images and annotations of (A/V) Aff-Wild2",
    weights=_NOT_ON_AFF_WILD2,
    source="page of the 11th edition",
)


@dataclass(frozen=True)
class Format:
    """What one edition asks for in one challenge.

    Attributes
    ----------
    layout : "tracks", one text file per track headed like its annotation; "single", one file with a row per image.
    image_column : name of the first column of the single file; "" in the layout "tracks".
    answer_name : name of the single file, or of a track's file with `<track>` for the track's name.
    every_frame : whether images of a track run 1, 2, 3, ... without a gap (MTL takes some frames only).
    annotation_folders : names of the folder that holds Train_Set and Validation_Set.
    names_files : lists of the test tracks, one name per line.
    sample_files : the rows to fill, and examples of them filled.
    score : how the organisers rank.
    submissions : how many a team may send.
    sent_to : where answers are sent, "" where nobody wrote it down.
    data_rule : what may be learned from, None where no rule was read.
    test_tracks, test_rows : size of the official test set, where it was counted.
    repeats : whether the official list names some images more than once, so that an answer has to as well.
    archive_layout : where the answer lies inside the archive: "root", or "folder", one folder named after the submission.
    inferred : names of the attributes above that follow from other editions or from what teams did, but were read nowhere.
    """

    edition: int
    challenge: Challenge
    layout: Layout
    score: Score
    image_column: str = ""
    answer_name: str = "<track>.txt"
    every_frame: bool = True
    annotation_folders: tuple[str, ...] = ()
    names_files: tuple[str, ...] = ()
    sample_files: tuple[str, ...] = ()
    submissions: int | None = None
    sent_to: str = ""
    data_rule: DataRule | None = None
    test_tracks: int | None = None
    test_rows: int | None = None
    repeats: bool = False
    archive_layout: ArchiveLayout = "root"
    inferred: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Challenge and edition in words, as printed."""
        return f"{self.challenge.name} of the {ordinal(self.edition)} edition"

    @property
    def header(self) -> str:
        """The first line of the answer, without its line end."""
        return f"{self.image_column},{self.challenge.header}" if self.image_column else self.challenge.header

    def verified(self, attribute: str) -> bool:
        """Whether the value of `attribute` was read in a source."""
        return attribute not in self.inferred


# Nobody wrote down how the archive of a submission has to look, nor, but for what teams numbered, how many may be sent.
_INFERRED = frozenset({"archive_layout", "submissions"})
# No page names the single file either: seven teams' writers and one downloaded example say predictions.txt.
_INFERRED_SINGLE = _INFERRED | {"answer_name"}


def _samples(*stems: str) -> tuple[str, ...]:
    """A test set's sample file, whose values are empty, and its example, whose values are dummies."""
    return tuple(f"{stem}_{kind}.txt" for stem in stems for kind in ("sample", "example"))


# 1st edition (FG 2020): sizes and lists in public writers of three teams; word 10 of each sentence of the list of totals is a
# track's number of frames.
_EXPR_1 = Format(
    edition=1,
    challenge=EXPR_7,
    layout="tracks",
    score=MACRO_F1_AND_ACCURACY,
    annotation_folders=("EXPR_Set",),
    names_files=("expression_test_set.txt", "Expr_Challenge_video_and_total_number_of_frames.txt"),
    test_tracks=223,
    inferred=_INFERRED,
)
_AU_1 = replace(
    _EXPR_1,
    challenge=AU_8,
    score=UNIT_F1_AND_ACCURACY,
    annotation_folders=("AU_Set",),
    names_files=("aus_test_set.txt",),
    test_tracks=None,
    inferred=_INFERRED | {"score"},
)
_VA_1 = replace(
    _AU_1, challenge=VA, score=MEAN_CCC, annotation_folders=("VA_Set",), names_files=("va_test_set.txt",), inferred=_INFERRED
)

# 2nd edition (ICCV 2021): one team's results and test list, the official leaderboards with up to seven submissions of a team.
_INFERRED_2 = frozenset({"archive_layout", "annotation_folders"})
_EXPR_2 = replace(
    _EXPR_1,
    edition=2,
    names_files=("test_set_EXPR_Challenge.txt",),
    submissions=7,
    test_tracks=None,
    inferred=_INFERRED_2 | {"names_files"},
)
_AU_2 = replace(
    _EXPR_2, challenge=AU, score=UNIT_F1_AND_ACCURACY, annotation_folders=("AU_Set",), names_files=("test_set_AU_Challenge.txt",)
)
_VA_2 = replace(
    _EXPR_2,
    challenge=VA,
    score=MEAN_CCC,
    annotation_folders=("VA_Set",),
    names_files=("test_set_VA_Challenge.txt",),
    inferred=_INFERRED_2,
)

# 3rd edition (CVPR 2022): folders and lists named in a winner's code.
_EXPR_3 = Format(
    edition=3,
    challenge=EXPR,
    layout="tracks",
    score=MACRO_F1,
    annotation_folders=("EXPR_Classification_Challenge",),
    names_files=("Expression_Classification_Challenge_test_set_release.txt",),
    submissions=5,
    data_rule=UNI_TASK,
    test_tracks=228,
    inferred=_INFERRED,
)
_AU_3 = replace(
    _EXPR_3,
    challenge=AU,
    score=UNIT_F1,
    annotation_folders=("AU_Detection_Challenge",),
    names_files=("Action_Unit_Detection_Challenge_test_set_release.txt",),
    test_tracks=141,
)
_VA_3 = replace(
    _EXPR_3,
    challenge=VA,
    score=MEAN_CCC,
    annotation_folders=("VA_Estimation_Challenge",),
    names_files=("Valence_Arousal_Estimation_Challenge_test_set_release.txt",),
    test_tracks=152,
)
# The name of the file as two teams of the 3rd edition wrote it, one of them the winner.
_MTL_3 = Format(
    edition=3,
    challenge=MTL,
    layout="single",
    score=MULTI_TASK,
    image_column=IMAGE,
    answer_name="MTL_predictions.txt",
    every_frame=False,
    annotation_folders=("MTL_Challenge",),
    sample_files=("Multi_Task_Learning_Challenge_test_set_release.txt",),
    submissions=5,
    test_rows=51_245,
    repeats=True,
    inferred=_INFERRED_SINGLE | {"repeats"},
)
# 4th edition (ECCV 2022): the same on 51,159 rows of at most 50,441 images, for so many were released and every row has its own.
_MTL_4 = replace(
    _MTL_3,
    edition=4,
    sample_files=("MTL_Challenge_test_set_release.txt",),
    test_rows=51_159,
    inferred=_INFERRED_SINGLE | {"annotation_folders"},
)

# 5th edition (CVPR 2023): first lines and sizes of the sample files as printed by a team.
_EXPR_5 = Format(
    edition=5,
    challenge=EXPR,
    layout="single",
    score=MACRO_F1,
    image_column=IMAGE_LOCATION,
    answer_name="predictions.txt",
    annotation_folders=("EXPR_Classification_Challenge",),
    names_files=("Expression_Classification_Challenge_test_set_release.txt",),
    sample_files=_samples("CVPR_5th_ABAW_EXPR_test_set"),
    submissions=5,
    data_rule=UNI_TASK,
    test_tracks=228,
    test_rows=1_022_655,
    inferred=_INFERRED_SINGLE,
)
_AU_5 = replace(
    _EXPR_5,
    challenge=AU,
    score=UNIT_F1,
    annotation_folders=("AU_Detection_Challenge",),
    names_files=("Action_Unit_Detection_Challenge_test_set_release.txt",),
    sample_files=_samples("CVPR_5th_ABAW_AU_test_set"),
    test_tracks=141,
    test_rows=729_736,
)
_VA_5 = replace(
    _EXPR_5,
    challenge=VA,
    score=MEAN_CCC,
    annotation_folders=("VA_Estimation_Challenge",),
    names_files=("Valence_Arousal_Estimation_Challenge_test_set_release.txt",),
    sample_files=_samples("CVPR_5th_ABAW_VA_test_set"),
    test_tracks=162,
    test_rows=927_210,
)

# 6th edition (CVPR 2024): EXPR says Recognition where it said Classification; one configuration kept the old folder.
_EXPR_6 = replace(
    _EXPR_5,
    edition=6,
    annotation_folders=("EXPR_Recognition_Challenge", "EXPR_Classification_Challenge"),
    names_files=("Expression_Recognition_Challenge_test_set_release.txt",),
    sample_files=_samples("CVPR_6th_ABAW_Expr_test_set", "CVPR_6th_ABAW_EXPR_test_set"),
)
_AU_6 = replace(_AU_5, edition=6, sample_files=_samples("CVPR_6th_ABAW_AU_test_set"))
_VA_6 = replace(_VA_5, edition=6, sample_files=_samples("CVPR_6th_ABAW_VA_test_set"))
_CE_6 = Format(
    edition=6,
    challenge=CE,
    layout="single",
    score=MACRO_F1,
    image_column=IMAGE_LOCATION,
    answer_name="predictions.txt",
    sample_files=_samples("CVPR_6th_ABAW_CE_test_set"),
    submissions=5,
    test_tracks=56,
    test_rows=26_145,
    inferred=_INFERRED_SINGLE | {"sample_files", "score"},
)

# 7th edition (ECCV 2024): the MTL list with a trailing comma on each row.
_MTL_7 = replace(_MTL_4, edition=7, sample_files=("MTL.txt",), inferred=_INFERRED_SINGLE | {"annotation_folders"})
_CE_7 = replace(_CE_6, edition=7, sample_files=("CE.txt",))

# 8th edition (CVPR 2025): EXPR as in the 6th, header and row count printed again; AU and VA, which teams entered, after it.
_INFERRED_LATER = _INFERRED_SINGLE | {"annotation_folders", "names_files", "sample_files", "test_tracks", "test_rows"}
_EXPR_8 = replace(
    _EXPR_6,
    edition=8,
    sample_files=(*_EXPR_6.sample_files, *_samples("ABAW_Expr_test_set")),
    inferred=_INFERRED_SINGLE | {"sample_files"},
)
_AU_8 = replace(_AU_6, edition=8, sample_files=(*_AU_6.sample_files, *_samples("ABAW_AU_test_set")), inferred=_INFERRED_LATER)
_VA_8 = replace(
    _VA_6,
    edition=8,
    sample_files=(*_VA_6.sample_files, *_samples("ABAW_VA_test_set")),
    inferred=_INFERRED_LATER | {"layout", "score", "image_column"},
)

# 9th edition (ICCV 2025): a team's annotation folder and test list of VA, a paper that enters CE; all else after the 6th to 8th.
_VA_9 = replace(
    _VA_8,
    edition=9,
    inferred=_INFERRED_SINGLE | {"sample_files", "test_tracks", "test_rows", "layout", "score", "image_column"},
)
_CE_9 = replace(_CE_7, edition=9, inferred=_CE_7.inferred | {"test_tracks", "test_rows", "layout", "image_column"})

# 10th edition (CVPR 2026): the sample files without the prefix of the venue; at most five submissions, by notes on the paper of
# the organisers. VA counted in a team's copies of the official files: its tracks and rows are those of the 6th edition.
_INFERRED_10 = _INFERRED_SINGLE - {"submissions"}
_EXPR_10 = replace(_EXPR_6, edition=10, sample_files=_samples("ABAW_Expr_test_set"), inferred=_INFERRED_10 | {"test_rows"})
_AU_10 = replace(_AU_6, edition=10, sample_files=_samples("ABAW_AU_test_set"), inferred=_INFERRED_LATER - {"submissions"})
_VA_10 = replace(
    _VA_6, edition=10, sample_files=_samples("ABAW_VA_test_set"), inferred=_INFERRED_10 | {"annotation_folders", "names_files"}
)

# 11th edition (ECCV 2026): the images, list and header of the 4th and 7th, as two teams' code and its printed sizes say. Its page
# names an evaluation server, but neither its address nor how often it takes an answer.
_MTL_11 = replace(
    _MTL_7,
    edition=11,
    sample_files=("MTL_Challenge_test_set_release.txt",),
    submissions=None,
    sent_to="the evaluation server",
    data_rule=STATIC_IMAGES,
)

FORMATS: tuple[Format, ...] = (
    *(_EXPR_1, _AU_1, _VA_1),
    *(_EXPR_2, _AU_2, _VA_2),
    *(_EXPR_3, _AU_3, _VA_3, _MTL_3),
    _MTL_4,
    *(_EXPR_5, _AU_5, _VA_5),
    *(_EXPR_6, _AU_6, _VA_6, _CE_6),
    *(_MTL_7, _CE_7),
    *(_EXPR_8, _AU_8, _VA_8),
    *(_VA_9, _CE_9),
    *(_EXPR_10, _AU_10, _VA_10),
    _MTL_11,
)

# Challenges that are not answered by a row of numbers per frame of Aff-Wild2, with the editions that held them.
REFUSED = {
    "LSD": ("learning from synthetic data", (4,)),
    "ERI": ("emotional reaction intensity, one answer per video", (5,)),
    "EMI": ("emotional mimicry intensity, one answer per video", (6, 8, 10)),
    "AH": ("ambivalence and hesitancy, one answer per video", (8, 10, 11)),
    "VIOLENCE": ("fine-grained violence detection", (9, 10)),
}
# Where no edition is named, the newest that held the challenge is meant; but EXPR keeps the 5th, which runs and submissions say
# that were made without naming one. The files of its editions 5, 6, 8 and 10 differ in no byte.
_DEFAULT_EDITIONS = {EXPR.name: 5}


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, ... 11th."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def default_edition(challenge: str) -> int:
    """The edition that is meant where none is named, of a challenge there is (its name in any case)."""
    name = challenge.upper()
    return _DEFAULT_EDITIONS.get(name, max(known.edition for known in FORMATS if known.challenge.name == name))


def usual_score(challenge: Challenge) -> Score:
    """The score by which answers to a challenge are compared: that of the edition that is meant where none is named."""
    return format_of(challenge.name).score


def formats_of(challenge: Challenge) -> tuple[Format, ...]:
    """What all editions that held a challenge asked for, the oldest first."""
    return tuple(known for known in FORMATS if known.challenge.name == challenge.name)


def is_sparse(challenge: Challenge) -> bool:
    """Whether it takes some frames of a track only, and its files hold the rows of many tracks."""
    return not any(form.every_frame for form in formats_of(challenge))


def challenge_named(name: str) -> Challenge:
    """The challenge of a name in any case, as it is in its newest editions. Raises UsageError as `format_of`."""
    return format_of(name).challenge


def format_of(challenge: str, edition: int | None = None) -> Format:
    """What `edition`, by default `default_edition`, asks for in `challenge` (a name in any case).

    Raises UsageError for a challenge or an edition that is unknown or not answered frame by frame, saying which there are.
    """
    name = challenge.upper()
    if name in REFUSED:
        meaning, editions = REFUSED[name]
        where = ", ".join(ordinal(number) for number in editions)
        raise UsageError(f"{name} ({meaning}; {where} edition) is not a frame-wise challenge of Aff-Wild2 and is not supported")
    names = list(dict.fromkeys(known.challenge.name for known in FORMATS))
    if name not in names:
        raise UsageError(f"unknown challenge {challenge!r}; {near_names(name, names)}")
    wanted = default_edition(name) if edition is None else edition
    for known in FORMATS:
        if known.challenge.name == name and known.edition == wanted:
            return known
    held = ", ".join(str(known.edition) for known in FORMATS if known.challenge.name == name)
    raise UsageError(f"the {ordinal(wanted)} edition held no {name}", expected=f"one of the editions {held}")
