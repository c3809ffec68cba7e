"""Everything that can be found wrong, doubtful or worth knowing in a data root: codes, gravity, meaning and remedy."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import DataError
from harness.findings import Finding, FindingKind, printable

LONGEST_PATH = 1000

# Errors: a reader would have to guess, so nothing is trained or predicted before they are mended.
NO_CROPS = FindingKind(
    "no-crops",
    "error",
    "there is no folder of face crops of this name",
    "unpack the crops below the data root, or name the folder that holds one folder per track with `crops`",
)
NO_TRACKS = FindingKind(
    "no-tracks",
    "error",
    "there are neither annotations nor a test set nor crops here",
    "name the folder that holds the crops and the annotations of one edition",
)
LABEL_ENCODING = FindingKind(
    "label-encoding", "error", "the label file is not plain text", "unpack the official file again; it is ASCII text"
)
LABEL_HEADER = FindingKind(
    "label-header",
    "error",
    "the first line of the label file is not an official header",
    "use the official file; another order or number of classes cannot be read safely. Move away what is no label file",
)
LABEL_VALUE = FindingKind(
    "label-value", "error", "a line of the label file is not one class number", "use the official file; one number per frame"
)
LABEL_EMPTY = FindingKind("label-empty", "error", "the label file has no line after its header", "unpack the official file again")
UNREADABLE_FILE = FindingKind(
    "unreadable-file", "error", "the file or folder cannot be read", "check its permissions and the disk"
)
REPEATED_IMAGE = FindingKind(
    "repeated-image", "error", "two images of one track have the same frame number", "keep the right one, move the other away"
)
FRAME_ZERO = FindingKind(
    "frame-zero",
    "error",
    "images are numbered from 0, but label line k belongs to image k counted from 1",
    "rename the images so that the first frame is 00001",
)
REPEATED_FOLDER = FindingKind(
    "repeated-folder", "error", "the crops of one track lie in two folders", "keep the complete folder, move the other away"
)
REPEATED_ANNOTATION = FindingKind(
    "repeated-annotation",
    "error",
    "one track has two different label files in the same split",
    "keep the label files of one edition, move the others away",
)
UNSAFE_NAME = FindingKind(
    "unsafe-name", "error", "a track has a name that cannot be a file name", "rename it; its scores are written under its name"
)
CLASHING_NAMES = FindingKind(
    "clashing-names",
    "error",
    "two track names differ only in case or in how an accent is written",
    "rename one of them; on many disks they are the same file",
)
SAMPLE_HEADER = FindingKind(
    "sample-header", "error", "the first line of the sample file is not the official header", "use the official sample file"
)
SAMPLE_ROW = FindingKind(
    "sample-row",
    "error",
    "a row of the sample file does not name the next frame of a track",
    "use the official sample file, unchanged",
)
SEVERAL_SAMPLES = FindingKind(
    "several-samples", "error", "several sample files ask for different rows", "name the right one with --sample"
)
NAMES_LINE = FindingKind(
    "names-line", "error", "a line of the list of test tracks is not a track name", "use the official list, unchanged"
)
FRAME_RATES = FindingKind(
    "frame-rates",
    "error",
    "a line of frame_rates.csv cannot be read",
    "mend the line; or move the file away and make it again: harness doctor DATA --videos DIR",
)
NO_ROWS = FindingKind(
    "no-rows",
    "error",
    "nothing says how many rows a test track has: no sample file, no image, no decoded video",
    "put the official sample file below the data root, unpack the track's crops, or decode its video: "
    "harness doctor DATA --videos DIR",
)
DAMAGED_IMAGE = FindingKind(
    "damaged-image",
    "error",
    "an image cannot be read",
    "copy it again, or delete it, so that its frame counts as missing and is filled",
)

# Warnings: there is one safe way to go on, and it is taken; but someone should know.
NO_ANNOTATIONS = FindingKind(
    "no-annotations",
    "warning",
    "there is no folder of expression annotations; nothing can be trained or evaluated",
    "unpack the annotations of one edition below the data root",
)
NO_TEST_SET = FindingKind(
    "no-test-set",
    "warning",
    "there is no official list of test tracks; crop folders without annotation are taken for the test split",
    "put the official sample file, or the list of names, below the data root, or give --sample",
)
NOT_SEARCHED = FindingKind(
    "not-searched",
    "warning",
    "folders were not looked into for crops, annotations and official files",
    "nothing if they hold none of these; else move those up, below the data root",
)
NO_SAMPLE = FindingKind(
    "no-sample",
    "warning",
    "there is no sample file; rows of test tracks are guessed from their images and are wrong for some",
    "put the official sample file below the data root, or give --sample",
)
SAMPLE_AND_NAMES = FindingKind(
    "sample-and-names",
    "warning",
    "the sample file and the list of names do not agree; the sample is followed",
    "check that both are of one edition",
)
SEVERAL_EDITIONS = FindingKind(
    "several-editions",
    "warning",
    "annotations of several editions are here; those of the latest are read",
    "keep one edition's annotations below the data root",
)
BOTH_SPLITS = FindingKind(
    "both-splits",
    "warning",
    "a track is in the training and in the validation set; it is kept in validation and left out of training",
    "nothing; the official split of the 3rd to 10th edition has one such file",
)
BOTH_SPLITS_DIFFER = FindingKind(
    "both-splits-differ",
    "warning",
    "the label files of a track that is in the training and in the validation set differ; that of validation is read",
    "find out which is right: the official release has the same labels in both",
)
SPLIT_LEAK = FindingKind(
    "split-leak",
    "warning",
    "two persons of one recording are on both sides of a split",
    "nothing for the official split; folds made by `harness folds` keep a recording together",
)
TEST_LABELLED = FindingKind(
    "test-labelled",
    "warning",
    "a test track has a label file; it would be trained on or chosen by",
    "move the label file away unless this is a rehearsal on validation tracks",
)
NO_FOLDER = FindingKind(
    "no-folder", "warning", "a track has no folder of crops; all its frames are missing", "unpack its crops, or leave it so"
)
NO_IMAGES = FindingKind(
    "no-images",
    "warning",
    "a track's folder of crops has no image; all its frames are missing",
    "unpack its crops, or leave it so",
)
OTHER_IMAGES = FindingKind(
    "other-images",
    "warning",
    "images whose names are not frame numbers are ignored",
    "rename them to their frame number if they belong here",
)
BEYOND_ROWS = FindingKind(
    "beyond-rows",
    "warning",
    "images beyond the last row of a track are ignored",
    "nothing; the official rows decide",
)
NO_FRAME_RATES = FindingKind(
    "no-frame-rates",
    "warning",
    "frame rates of recordings are not known; smoothing in seconds has to assume one",
    "measure them from the raw videos: harness doctor DATA --videos DIR",
)
ROWS_AND_FRAMES = FindingKind(
    "rows-and-frames",
    "warning",
    "rows and decoded frames of a recording differ by more than the official files do (-1 to +2)",
    "nothing if the official rows say so; else look whether labels and video belong together",
)
OTHER_SIZE = FindingKind(
    "other-size",
    "warning",
    "aligned crops of a track have another size than most",
    "check where they come from; a model sees them resized",
)
NOT_OFFICIAL_SIZE = FindingKind(
    "not-official-size",
    "warning",
    "most aligned crops have another size than the official ones",
    "nothing for crops of your own; official crops were resized or are not aligned",
)
ODD_IMAGE = FindingKind(
    "odd-image", "warning", "an image is of an unusual kind; it is read, but check that it looks right", "look at it"
)
REPEATED_BYTES = FindingKind(
    "repeated-bytes",
    "warning",
    "an image has the same bytes as the image of the frame before",
    "check that the frame numbers are right; a still video or a wrong renaming shows like this",
)
SAME_IMAGES = FindingKind(
    "same-images",
    "warning",
    "two tracks have the same images, byte for byte",
    "check which folder is which; in two splits they are a leak",
)
SHARED_IMAGES = FindingKind(
    "shared-images",
    "warning",
    "tracks of two splits have images in common, byte for byte; what is learned in one is tested in the other",
    "find out which folder holds images of the wrong recording",
)
VIDEO_FAULT = FindingKind(
    "video-fault", "warning", "a video does not decode without faults", "copy it again; its frame count may be short"
)
VIDEO_COUNT = FindingKind(
    "video-count",
    "warning",
    "a video's container declares another number of frames than decode",
    "nothing; the decoded number is used",
)
REPEATED_VIDEO = FindingKind("repeated-video", "warning", "a recording has two video files; the first is used", "move one away")
NO_VIDEO = FindingKind("no-video", "warning", "a recording has no video file", "add it below the folder of videos")
NO_VALID_LABEL = FindingKind(
    "no-valid-label", "note", "every frame of a track is labelled -1; it teaches nothing and is never scored", "nothing"
)
SEVEN_CLASSES = FindingKind(
    "seven-classes",
    "warning",
    "the label files have the seven classes of the 1st and 2nd edition; the class Other never occurs",
    "use the annotations of the 3rd edition or later for eight classes",
)
NOT_OFFICIAL_TOTALS = FindingKind(
    "not-official-totals",
    "note",
    "a split does not have the totals of the official release",
    "nothing for another data set; an official copy is incomplete or changed",
)
UNUSED_VIDEO = FindingKind("unused-video", "note", "videos that belong to no track here were not decoded", "nothing")
UNUSED_FOLDER = FindingKind(
    "unused-folder",
    "note",
    "crops that no expression annotation or test list names, as those of the other challenges, are not used",
    "nothing",
)


KINDS = tuple(value for value in list(globals().values()) if isinstance(value, FindingKind))
"""The whole catalogue, errors first."""


def raise_first_error(findings: Sequence[Finding], root: str) -> None:
    """Raises DataError for the first error among `findings`, saying how many more there are and how to see them all."""
    errors = [finding for finding in findings if finding.kind.severity == "error"]
    if not errors:
        return
    first = errors[0]
    more = f"; {len(errors) - 1} more such faults" if len(errors) > 1 else ""
    raise DataError(
        first.kind.meaning,
        path=printable(first.file, LONGEST_PATH),
        line=first.line,
        found=first.found or None,
        expected=first.expected or None,
        remedy=f"{first.kind.remedy}{more}; all at once: harness doctor {root}",
    )
