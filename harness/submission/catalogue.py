"""The validator's catalogue: every code it can give, how grave it is, what it means and what to do.

An error is whatever makes rows, their order or the header differ from the official sample, a value the challenge does not allow,
or something a strict parser refuses. A warning is all else, and every rule that follows from what teams did but was read nowhere.
"""

from __future__ import annotations

from harness.findings import error, named, warning

# The file as bytes.
FILE_EMPTY = error("the file has no rows", "write the predictions again")
FILE_UNREADABLE = error("the file cannot be read", "check its permissions and its disk")
FILE_TOO_LARGE = error(
    "the file is larger than any answer can be; reading stopped",
    "check that this is the right file and that nothing was appended to it repeatedly",
)
LINE_TOO_LONG = error("a line is longer than any row can be", "write one row per line, with LF line endings")
TOO_MANY_FAULTS = error("too many lines are faulty; reading stopped here", "correct the errors listed first, then validate again")
ENCODING = error("bytes that are not UTF-8 text", "write the file as plain ASCII (UTF-8 without a mark)")
BYTE_ORDER_MARK = error(
    "a byte-order mark precedes the header, so that a strict parser does not recognise it",
    'write with encoding="utf-8", not "utf-8-sig", or use --fix',
)
CARRIAGE_RETURN = error(
    "lines end in CR LF or CR; official files use LF", 'write in binary mode or with newline="\\n", or use --fix'
)
NUL_BYTE = error("a NUL byte: the file is damaged or in UTF-16", "write the file again, as plain ASCII")
BLANK_LINE = error("a blank line", "remove the line; --fix removes those at the end of the file")
SPACES = error("spaces around a field", "write fields without spaces, or use --fix")
FINAL_NEWLINE = warning(
    "the last line has no line ending; teams have sent both forms", "end the last row with LF too, or use --fix"
)

# The header.
HEADER_MISSING = error("the first line is a row, not the header", "write the header of the sample first")
HEADER_QUOTED = error(
    "the header is quoted, as CSV libraries quote a name that contains commas", "write the header as a plain string, or use --fix"
)
HEADER_SPACED = error("the header has spaces around its names", "copy the sample's header, or use --fix")
HEADER_ORDER = error(
    "the header has the right names in another order, so the values may be swapped too",
    "write the columns in the order of the sample, and check that each holds the right values",
)
HEADER_OTHER_CHALLENGE = error("the header belongs to another challenge", "check that this file answers this challenge")
HEADER_OTHER_EDITION = error("the header belongs to another edition", "name the right --edition, or write this edition's header")
HEADER_OTHER_LAYOUT = error(
    "the header of a track's file is used for rows with image names, or vice versa",
    "write a track's file without image names under the annotation header, a single file with them under the sample's",
)
HEADER_UNKNOWN = error("the header is not the sample's", "copy the first line of the sample, byte for byte")
HEADER_REPEATED = error("the header appears again among the rows", "write the file once instead of appending to it")

# Rows and values.
DELIMITER = error("fields are not separated by commas", "separate fields by a comma and nothing else")
FIELD_COUNT = error("a row with too many or too few fields", "write exactly the fields of the sample")
TRAILING_COMMA = error("the row ends in a comma", "end the row after its last value, or use --fix")
QUOTED_FIELD = error("quotes around a field", "write rows as plain strings, or use --fix")
INDEX_COLUMN = error("a row number precedes the fields, as pandas writes its index", "write with index=False")
VALUE_ABSENT = error("a row without a value, as in the unfilled sample", "write a value for every row, with or without a face")
VALUE_NUMBER_FORM = error(
    "a number in a form that a strict parser rejects, such as 07, +1, 1.0 for a class, .5 or full-width digits",
    "write classes and units as one digit, values as -0.25",
)
VALUE_RANGE = error(
    "a number that the challenge does not allow",
    "count classes from 0 (subtract 1 if yours begin at 1); clip valence and arousal to their range",
)
VALUE_IGNORE_CODE = error(
    "the annotation's code for 'not labelled' was predicted",
    "interpolate frames without a face from their neighbours; this code always counts as wrong",
)
VALUE_OTHER_EDITION = error("a class that this edition does not have", "choose the most probable among this edition's classes")
VALUE_NAN = error("a value that is not a number (NaN)", "look for NaN in the scores; predict these tracks again")
VALUE_INFINITE = error("an infinite value", "look for overflow in the scores; predict these tracks again")
VALUE_NOT_A_NUMBER = error("text where a number belongs", "write numbers only")
VALUE_CLASS_NAME = error("the name of a class instead of its number", "write the number of the class, counted from 0")
ROW_PROBABILITIES = error("probabilities instead of a decision", "write the most probable class, or 0 or 1 for each unit")
ROW_ONE_HOT = error("one-hot classes instead of the number of one", "write the number of the class")

# Image names.
IMAGE_NAME = error("an image name that is not <track>/<5 digits>.jpg", "copy the image names of the sample")
IMAGE_EXTENSION = error("an image name that does not end in .jpg", "copy the image names of the sample")
IMAGE_PADDING = error("an image number that does not have five digits", "write the number as {:05d}")
IMAGE_ZERO = error("an image with the number 0", "count images from 1: the first label is 00001.jpg")

# Rows as a whole.
ROW_ABSENT = error("required rows are absent", "write a row for every frame, with or without a face")
ROW_EXTRA = error("a known track has rows that are not required", "cut each track to the rows of the sample")
ROW_DUPLICATE = error("a row for an image that already has one", "write each image once")
COPIES_DIFFER = warning(
    "the rows of an image that is listed several times have different values",
    "give each copy of an image the same values; no scorer can count both as right",
)
ROW_ORDER = error("rows are not in the order of the sample", "write rows in the order of the sample, or use --fix")
ROW_SHIFTED = error(
    "all image numbers of a track are shifted by the same amount",
    "count images from 1, and check that the labels are not shifted as well",
)
ROWS_TOO_FEW = error("a track has fewer rows than required", "write a row for every frame, with or without a face")
ROWS_TOO_MANY = error("a track has more rows than required", "cut each track to the rows of the sample")
FILE_TWICE = error("the file contains everything twice", "write the file anew instead of appending to it")
TRACK_ABSENT = error("a required track has no rows", "predict this track too")
TRACK_UNKNOWN = error("rows of a track that is not required", "check the track's name, suffix and split")
NUMBERS_JUMP = warning(
    "the image numbers of a track do not run 1, 2, 3, ... as those of every official test set do",
    "validate with --sample; frames without a face need rows too",
)
TRACK_SCATTERED = warning("the rows of a track are not contiguous", "validate with --sample to see the order of rows")
OFFICIAL_SIZE = warning(
    "nearly, but not exactly, as many rows as the official test set",
    "validate with --sample to see which rows are absent or not required",
)

# Folders and their files.
TRACK_FILE_ABSENT = error("a required track has no file", "predict this track too")
TRACK_FILES_NUMBER = warning(
    "not as many files of tracks as the official test set has",
    "validate with --sample and the list of the test tracks; ignore this for another split",
)
TRACK_FILE_UNKNOWN = error("a file of a track that is not required", "check the track's name, suffix and split")
TRACK_FILE_CASE = error("the name of a track's file differs in upper and lower case", "name the file like the track, with .txt")
TRACK_FILE_EXTENSION = error("a track's file that does not end in .txt", "name the file <track>.txt")
JUNK_FILE = warning("a file that an operating system left", "remove it from the folder or archive")
OTHER_FILE = warning("a file that is not part of an answer", "remove it from the folder or archive")
ANSWER_NAME = warning(
    "the single file does not have the name that teams give it",
    "name it predictions.txt (MTL: MTL_predictions.txt); `harness pack` does",
)
ANSWER_TWICE = error(
    "a second file that could be the answer; which of them counts is unknown",
    "keep the one to send, and remove the others from the folder or archive",
)
ANSWER_OTHER_LAYOUT = warning(
    "a file in the layout of other editions beside the answer",
    "remove it from the folder or archive; `harness pack` leaves it out",
)
ANSWER_ABSENT = error("the file that the edition requires is absent", "write the submission again")
FORMAT_UNKNOWN = error("neither the header nor the rows show which challenge this is", "name it with --challenge and --edition")
MERGED_DIFFERS = error(
    "the single file and the tracks' files give different values, or values of different tracks",
    "one of the two is not what was predicted; write the submission again",
)
RECORD_UNREADABLE = error("submission.json is damaged", "write the submission again, or remove the file")
RECORD_SHA256 = warning(
    "a file was changed or removed after the submission was written", "write the submission again if this was not intended"
)
RECORD_ROWS = warning(
    "the submission was written for rows other than those it is checked against", "check which sample is the right one"
)

# Archives.
ARCHIVE_METHOD = error(
    "a file in the archive is compressed by a method that not every program can read",
    "make a zip file with the usual method (deflate), as `harness pack` does",
)
ARCHIVE_DAMAGED = error("the archive cannot be read to its end", "make the archive again")
ARCHIVE_ENCRYPTED = error("the archive is encrypted", "make it without a password")
ARCHIVE_NAME = error("a name that points outside the folder or is invalid on some system", "give files plain, relative names")
ARCHIVE_LINK = error("a link or a device instead of a file", "put the files themselves into the archive")
ARCHIVE_TOO_LARGE = error("the archive contains more bytes than any submission", "put only the answer into it")
ARCHIVE_RATIO = error("the archive unpacks to far more than it should", "put only the answer into it")
ARCHIVE_COUNT = error("the archive contains more files than any submission", "put only the answer into it")
ARCHIVE_TWICE = error("the archive contains a name twice", "make the archive anew instead of adding to it")
ARCHIVE_NESTED = warning("an archive within the archive, which was not read", "put the files themselves into it")
ARCHIVE_FOLDER = warning(
    "the answer lies in a folder of the archive; the rule is not known, but the root is safer",
    "zip the files, not the folder; `harness pack` does",
)

# Legal values that look wrong.
TRACK_CONSTANT = warning("every row of a long track has the same values", "check that this track was predicted, not filled")
FILE_CONSTANT = warning("every row of the answer has the same values", "check the model and the decoding")
LABELS_HELD = warning(
    "far more tracks than by chance begin with the last label of the track before them",
    "interpolate frames without a face within their own track only",
)
CLASS_SHARES = warning(
    "the predicted class frequencies are far from those of the training labels", "check the order of the classes and the decoding"
)

KINDS = named(globals())
"""The whole catalogue."""
