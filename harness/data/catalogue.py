"""Everything that can be found wrong, doubtful or worth knowing in a data root: codes, gravity, meaning and remedy."""

from __future__ import annotations

from harness.findings import error, named, note, warning

# Errors: a reader would have to guess, so nothing is trained or predicted before they are mended.
NO_CROPS = error(
    "there is no folder of face crops with this name",
    "unpack the crops below the data root, or name the folder that holds one folder per track with `crops`",
)
NO_TRACKS = error(
    "there are neither annotations nor a test set nor crops here",
    "name the folder that contains the crops and the annotations of one edition",
)
LABEL_ENCODING = error("the label file is not plain text", "unpack the official file again; it is ASCII text")
LABEL_HEADER = error(
    "the first line of the label file is not an official header",
    "use the official file: another order or number of classes cannot be read safely; move files that are not label files",
)
LABEL_VALUE = error(
    "a line of the label file does not hold the numbers that its header requires",
    "use the official file, with one line per frame",
)
LABEL_EMPTY = error("the label file has no lines after its header", "unpack the official file again")
UNREADABLE_FILE = error("the file or folder cannot be read", "check its permissions and the disk")
REPEATED_IMAGE = error("two images of one track have the same frame number", "keep the right one and move the other")
FRAME_ZERO = error(
    "images are numbered from 0, but label line k belongs to image k counted from 1",
    "rename the images so that the first frame is 00001",
)
REPEATED_FOLDER = error("the crops of one track lie in two folders", "keep the complete folder and move the other")
REPEATED_ANNOTATION = error(
    "one track has two different label files in the same split", "keep the label files of one edition and move the others"
)
LABEL_COPY = error(
    "label files whose names mark them as copies of another would count twice",
    "move the copy; if it belongs to a track of its own, unpack the crops of that track",
)
UNSAFE_NAME = error("the name of a track cannot be a file name", "rename the track; its scores are written under its name")
CLASHING_NAMES = error(
    "two track names differ only in case or in how an accent is written",
    "rename one of them; on many disks both are the same file",
)
SAMPLE_HEADER = error("the first line of the sample file is not the official header", "use the official sample file")
SAMPLE_ROW = error("a row of the sample file does not name the next frame of a track", "use the official sample file, unchanged")
SEVERAL_SAMPLES = error("several sample files ask for different rows", "name the right one with --sample")
NAMES_LINE = error("a line of the list of test tracks is not a track name", "use the official list, unchanged")
FRAME_RATES = error(
    "a line of frame_rates.csv cannot be read",
    "correct the line, or move the file and write it again: harness doctor DATA --videos DIR",
)
NO_ROWS = error(
    "the number of rows of a test track is unknown: no sample file, no image, no decoded video",
    "put the official sample file below the data root, unpack the track's crops, or decode its video: "
    "harness doctor DATA --videos DIR",
)
TOO_MANY_FRAMES = error(
    "a track has more frames than any recording", "look for an image or a row with a wrong number, and remove it"
)
DAMAGED_IMAGE = error(
    "an image cannot be read", "copy it again, or delete it, so that its frame counts as missing and is interpolated"
)

# Warnings: there is one safe way to go on, and it is taken; but someone should know.
NO_ANNOTATIONS = warning(
    "there are no annotations of the challenge; nothing can be trained or evaluated",
    "unpack the annotations of one edition below the data root, or name another challenge with --challenge",
)
NO_TEST_SET = warning(
    "there is no official list of test tracks; crop folders without annotations are taken as the test split",
    "put the official sample file or the list of names below the data root, or use --sample",
)
NOT_SEARCHED = warning(
    "folders were not searched for crops, annotations and official files",
    "nothing if they contain none of these; otherwise move the files up, below the data root",
)
NO_SAMPLE = warning(
    "there is no sample file; the rows of test tracks are guessed from their images, wrongly for some",
    "put the official sample file below the data root, or use --sample",
)
SAMPLE_AND_NAMES = warning(
    "the sample file and the list of names disagree; the sample is used", "check that both are of one edition"
)
SEVERAL_EDITIONS = warning(
    "there are annotations of several editions; those of the latest are read",
    "keep the annotations of one edition below the data root",
)
BOTH_SPLITS = warning(
    "a track is in both the training and the validation set; it is used for validation only",
    "nothing; the official split of the 3rd to 10th editions has one such file",
)
BOTH_SPLITS_DIFFER = warning(
    "the label files of a track that is in both the training and the validation set differ; that of validation is read",
    "find out which is right; in the official release they are the same",
)
SPLIT_LEAK = warning(
    "the two persons of a recording are on both sides of a split",
    "nothing for the official split; folds made by `harness folds` keep a recording together",
)
TEST_LABELLED = warning(
    "a test track has a label file, so that models could be trained or chosen on it",
    "move the label file, unless this is a rehearsal on validation tracks",
)
NO_FOLDER = warning("a track has no folder of crops; all its frames are missing", "unpack its crops, or leave it as it is")
NO_IMAGES = warning(
    "the folder of crops of a track has no images; all its frames are missing", "unpack its crops, or leave it as it is"
)
OTHER_IMAGES = warning(
    "images whose names are not frame numbers are ignored", "rename them to their frame numbers if they belong here"
)
BEYOND_ROWS = warning("images beyond the last row of a track are ignored", "nothing; the official rows count")
NO_FRAME_RATES = warning(
    "frame rates of recordings are unknown; their tracks are neither smoothed nor decoded by Viterbi",
    "measure them from the raw videos: harness doctor DATA --videos DIR",
)
ROWS_AND_FRAMES = warning(
    "rows and decoded frames of a recording differ by more than the official files do (-1 to +2)",
    "nothing if these are the official rows; otherwise check that labels and video belong together",
)
OTHER_SIZE = warning(
    "the aligned crops of a track differ in size from most", "check where they come from; a model sees them resized"
)
NOT_OFFICIAL_SIZE = warning(
    "most aligned crops differ in size from the official ones",
    "nothing if the crops are your own; otherwise they were resized or are not aligned",
)
ODD_IMAGE = warning("an image is of an unusual kind; it is read as it is", "check that it looks right")
REPEATED_BYTES = warning(
    "an image has the same bytes as that of the frame before",
    "check that the frame numbers are right; a still video or wrong renaming looks like this",
)
SAME_IMAGES = warning(
    "two tracks have the same images, byte for byte", "check which folder is which; in two splits this is a leak"
)
SHARED_IMAGES = warning(
    "tracks of two splits have images in common, byte for byte; what is learned in one is tested in the other",
    "find out which folder holds images of the wrong recording",
)
VIDEO_FAULT = warning("a video does not decode without faults", "copy it again; its frame count may be short")
VIDEO_COUNT = warning(
    "the container of a video declares a number of frames that differs from those decoded", "nothing; the decoded number is used"
)
REPEATED_VIDEO = warning("a recording has two video files; the first is used", "remove one")
NO_VIDEO = warning("a recording has no video file", "add it to the folder of videos")
NO_VALID_LABEL = note("no frame of a track is labelled; it teaches nothing and is never scored", "nothing")
LABEL_REPEATS = note(
    "a multi-task file names images more than once; each row counts, as in the official files",
    "nothing; the official files repeat 951 rows in training and 210 in validation",
)
SEVEN_CLASSES = warning(
    "the label files have the seven classes of the 1st and 2nd editions; the class Other never occurs",
    "use the annotations of the 3rd edition or later for eight classes",
)
NOT_OFFICIAL_TOTALS = note(
    "a split does not have the totals of the official release",
    "nothing for another data set; an official copy with other totals is incomplete or changed",
)
VIDEO_NOTE = note(
    "a video is shown differently from how it is stored, or contains more than its film; it is read as it is shown", "nothing"
)
UNUSED_VIDEO = note("videos that belong to no track were not decoded", "nothing")
UNUSED_FOLDER = note(
    "crops that no annotation or test list of the challenge names, such as those of other challenges, are not used", "nothing"
)

KINDS = named(globals())
"""The whole catalogue, errors first."""
