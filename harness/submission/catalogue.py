"""The validator's catalogue: every code it can give, how grave it is, what it means and what to do.

An error is whatever makes rows, their order or the header differ from the official sample, a value the challenge does not allow,
or something a strict parser refuses. A warning is all else, and every rule that follows from what teams did but was read nowhere.
"""

from __future__ import annotations

from harness.findings import error, named, warning

# The file as bytes.
FILE_EMPTY = error("the file holds no row", "write the predictions again")
FILE_UNREADABLE = error("the file cannot be read", "check its permissions and its disk")
FILE_TOO_LARGE = error(
    "the file is larger than any answer can be; reading stopped",
    "check that this is the right file, and that it was not appended to again and again",
)
LINE_TOO_LONG = error("a line is longer than any row can be", "write one row per line, with LF line ends")
TOO_MANY_FAULTS = error(
    "so many lines are faulty that reading stopped here", "correct the errors named first, then validate again"
)
ENCODING = error("bytes that are not UTF-8 text", "write the file as plain ASCII (UTF-8 without a mark)")
BYTE_ORDER_MARK = error(
    "a byte-order mark stands before the header, which then is another one",
    'write with encoding="utf-8", not "utf-8-sig"; or use --fix',
)
CARRIAGE_RETURN = error(
    "lines end in CR LF or CR; every official file ends them in LF", 'write in binary mode or with newline="\\n"; or use --fix'
)
NUL_BYTE = error("a NUL byte; the file was damaged or is UTF-16", "write the file again, as plain ASCII")
BLANK_LINE = error("a line without a row", "take the line away; --fix does so at the end of the file")
SPACES = error("blanks beside a field", "write fields without blanks; or use --fix")
FINAL_NEWLINE = warning("the last line has no line end; both forms have been sent", "end the last row too with LF; or use --fix")

# The header.
HEADER_MISSING = error("the first line is a row, not the header", "write the header of the sample first")
HEADER_QUOTED = error(
    "the header has quotes, as a CSV library writes a name with commas in it", "write the header as a plain string; or use --fix"
)
HEADER_SPACED = error("the header has blanks beside its names", "copy the sample's header; or use --fix")
HEADER_ORDER = error(
    "the header has the right names in another order, so the values may be swapped too",
    "write the columns in the order of the sample and check which value stands in which",
)
HEADER_OTHER_CHALLENGE = error("the header is that of another challenge", "check that this file answers this challenge")
HEADER_OTHER_EDITION = error("the header is that of another edition", "name the right --edition, or write this edition's header")
HEADER_OTHER_LAYOUT = error(
    "the header of a track's file stands over image names, or the other way round",
    "write a track's file without image names under the annotation header, a single file with them under the sample's",
)
HEADER_UNKNOWN = error("the header is not the sample's", "copy the first line of the sample, byte for byte")
HEADER_REPEATED = error("the header stands again among the rows", "write the file once instead of appending to it")

# Rows and values.
DELIMITER = error("fields are not separated by commas", "separate fields by a comma and nothing else")
FIELD_COUNT = error("a row with too many or too few fields", "write the fields of the sample, no others")
TRAILING_COMMA = error("a comma ends the row", "end the row after its last value; or use --fix")
QUOTED_FIELD = error("quotes around a field", "write rows as plain strings; or use --fix")
INDEX_COLUMN = error("a running number stands before the fields, as pandas writes its index", "write with index=False")
VALUE_ABSENT = error("a row without its value, as in the unfilled sample", "write a value for every row, faces or not")
VALUE_NUMBER_FORM = error(
    "a number in a form a strict parser refuses, such as 07, +1, 1.0 for a class, .5 or full-width digits",
    "write classes and units as one digit, values as -0.25",
)
VALUE_RANGE = error(
    "a number the challenge does not allow",
    "classes are counted from 0: subtract 1 where yours begin at 1; valence and arousal are clipped to their range",
)
VALUE_IGNORE_CODE = error(
    "the annotation's code for 'not labelled' was predicted",
    "fill frames without a face from their neighbours; the code can only count as wrong",
)
VALUE_OTHER_EDITION = error("a class that this edition does not have", "take the largest of this edition's classes only")
VALUE_NAN = error("a value that is not a number (NaN)", "look for NaN in the scores; predict these tracks again")
VALUE_INFINITE = error("an infinite value", "look for overflow in the scores; predict these tracks again")
VALUE_NOT_A_NUMBER = error("text where a number belongs", "write numbers only")
VALUE_CLASS_NAME = error("a class by its name instead of its number", "write the number of the class, counted from 0")
ROW_PROBABILITIES = error("probabilities instead of a decision", "write the class with the largest, or 0 and 1 for units")
ROW_ONE_HOT = error("a 0 or 1 for each class instead of the number of one", "write the number of the class")

# Image names.
IMAGE_NAME = error("not <track>/<5 digits>.jpg", "copy the image names of the sample")
IMAGE_EXTENSION = error("an image name that does not end in .jpg", "copy the image names of the sample")
IMAGE_PADDING = error("an image number that is not five digits", "write the number as {:05d}")
IMAGE_ZERO = error("an image with the number 0", "count images from 1: the first label is 00001.jpg")

# Rows as a whole.
ROW_ABSENT = error("rows that are asked for are not there", "write a row for every frame, faces or not")
ROW_EXTRA = error("rows of a known track that are not asked for", "cut each track to the rows of the sample")
ROW_DUPLICATE = error("a row that stood in the file before", "write each image once")
COPIES_DIFFER = warning(
    "an image that stands in several rows has different values in them",
    "give each copy of an image the same answer; no scorer can take both for right",
)
ROW_ORDER = error("rows that stand elsewhere in the sample", "write rows in the order of the sample; or use --fix")
ROW_SHIFTED = error(
    "all image numbers of a track are shifted by the same amount",
    "count images from 1, and check that the labels are not shifted as well",
)
ROWS_TOO_FEW = error("a track has fewer rows than are asked for", "write a row for every frame, faces or not")
ROWS_TOO_MANY = error("a track has more rows than are asked for", "cut each track to the rows of the sample")
FILE_TWICE = error("the file holds everything twice", "write the file anew instead of appending to it")
TRACK_ABSENT = error("a track that is asked for has no row", "predict this track too")
TRACK_UNKNOWN = error("rows of a track that is not asked for", "check the track's name, suffix and split")
NUMBERS_JUMP = warning(
    "image numbers of a track do not run 1, 2, 3, ...; every official test set's do",
    "validate with --sample; rows of frames without a face are needed too",
)
TRACK_SCATTERED = warning("a track's rows do not stand together", "validate with --sample to learn the order of rows")
OFFICIAL_SIZE = warning(
    "nearly as many rows as the official test set, but not as many",
    "validate with --sample to learn which rows are absent or too many",
)

# Folders and their files.
TRACK_FILE_ABSENT = error("a track that is asked for has no file", "predict this track too")
TRACK_FILES_NUMBER = warning(
    "another number of tracks' files than the official test set has",
    "validate with --sample and the list of the test tracks; of an answer to another split this says nothing",
)
TRACK_FILE_UNKNOWN = error("a file of a track that is not asked for", "check the track's name, suffix and split")
TRACK_FILE_CASE = error("a track's file in other upper and lower case", "name the file like the track, with .txt")
TRACK_FILE_EXTENSION = error("a track's file that does not end in .txt", "name the file <track>.txt")
JUNK_FILE = warning("a file an operating system left", "take it out of the folder or archive")
OTHER_FILE = warning("a file that is no part of an answer", "take it out of the folder or archive")
ANSWER_NAME = warning(
    "the single file has another name than teams give it",
    "name it predictions.txt (MTL: MTL_predictions.txt); `harness pack` does",
)
ANSWER_TWICE = error(
    "a second file that could be the answer; nobody can tell which of them is meant",
    "keep the one to be sent, and take the others out of the folder or archive",
)
ANSWER_OTHER_LAYOUT = warning(
    "a file in the layout of other editions beside the answer",
    "take it out of the folder or archive; `harness pack` leaves it out",
)
ANSWER_ABSENT = error("there is no file the edition asks for", "write the submission again")
FORMAT_UNKNOWN = error("neither header nor rows tell which challenge this is", "say so with --challenge and --edition")
MERGED_DIFFERS = error(
    "the single file and the tracks' files give different values, or values of different tracks",
    "one of the two is not what was predicted: write the submission again",
)
RECORD_UNREADABLE = error("submission.json is damaged", "write the submission again, or take the file away")
RECORD_SHA256 = warning(
    "a file was changed or taken away after the submission was written", "write the submission again if this was not meant"
)
RECORD_ROWS = warning("the submission was made for other rows than it is checked against", "check which sample is the right one")

# Archives.
ARCHIVE_METHOD = error(
    "a file in the archive is compressed in a way that not every program can read",
    "make a zip file with the usual compression (deflate); `harness pack` does",
)
ARCHIVE_DAMAGED = error("the archive cannot be read to its end", "make the archive again")
ARCHIVE_ENCRYPTED = error("the archive is encrypted", "make it without a password")
ARCHIVE_NAME = error("a name that would leave the folder, or that some system cannot hold", "give files plain, relative names")
ARCHIVE_LINK = error("a link or a device instead of a file", "put the files themselves into the archive")
ARCHIVE_TOO_LARGE = error("the archive holds more bytes than any submission", "put only the answer into it")
ARCHIVE_RATIO = error("the archive unpacks to far more than it should", "put only the answer into it")
ARCHIVE_COUNT = error("the archive holds more files than any submission", "put only the answer into it")
ARCHIVE_TWICE = error("the archive holds a name twice", "make the archive anew instead of adding to it")
ARCHIVE_NESTED = warning("an archive within the archive; it was not read", "put the files themselves into it")
ARCHIVE_FOLDER = warning(
    "the answer lies in a folder of the archive; the rules are not known, but its root is safer",
    "zip the files, not the folder; `harness pack` does",
)

# Legal values that look wrong.
TRACK_CONSTANT = warning("every row of a long track has the same values", "check that this track was predicted, not filled")
FILE_CONSTANT = warning("every row of the answer has the same values", "check the model and the decoding")
LABELS_HELD = warning(
    "tracks begin with the last label of the track before them far more often than by chance",
    "fill frames without a face from their own track only",
)
CLASS_SHARES = warning(
    "classes are predicted in shares far from those of the training labels", "check the order of the classes and the decoding"
)

KINDS = named(globals())
"""The whole catalogue."""
