"""What no file of the packages may do, told from its syntax tree.

That is to run code from outside, to write past harness/files.py, or to print past harness/streams.py.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

PICKLES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
# Functions that must be called by their module's name, so that this file sees them.
BY_MODULE = {"os", "shutil", "yaml", "torch", "zipfile", "tarfile", "tempfile", "builtins", "numpy"}
HARMLESS_BY_NAME = {"Tensor", "nn", "distributed"}

CODE = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "pd.read_pickle", "pandas.read_pickle"}
YAML = {"yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load", "yaml.full_load_all"}
UNPACKING = (".extractall", ".extract")

MAKING = (".write_text", ".write_bytes", ".mkdir", ".makedirs", ".touch", ".symlink_to", ".hardlink_to", ".truncate")
REMOVING = (".unlink", ".rmtree", ".rmdir", ".removedirs", ".rename", ".renames")
STORING = (".savetxt", ".tofile", ".to_csv", ".to_json", ".to_parquet", ".to_pickle", ".to_excel", ".to_hdf")
TEMPORARY = (".mkstemp", ".mkdtemp", ".NamedTemporaryFile", ".TemporaryDirectory", ".TemporaryFile")
WRITING = (*MAKING, *REMOVING, *STORING, *TEMPORARY)
OS_WRITING = {f"os.{name}" for name in ("remove", "replace", "link", "symlink", "mknod", "mkfifo", "chmod", "chown", "write")}
SHUTIL_READING = {"shutil.disk_usage", "shutil.which", "shutil.get_terminal_size"}
INTO_AN_ARGUMENT = {"np.save", "np.savez", "np.savez_compressed", "torch.save", "save_file"}
IN_MEMORY = {"buffer", "handle"}
"""What this code calls an object in memory, or a file that harness.files opened, which may be written to."""
WRITING_FLAGS = ("O_CREAT", "O_WRONLY", "O_RDWR", "O_APPEND", "O_TRUNC")
PRINTING = {"print", "pprint", "click.echo", "click.secho", "click.echo_via_pager"}
STREAMS = ("tqdm.write", "stdout.write", "stderr.write", "stdout.buffer.write", "stderr.buffer.write")
FILES, OWN = "files.", "self."
"""Functions of harness/files.py, which writes whole or not at all, and of the class at hand, which is looked at itself."""


def faults(source: str, writes: bool = False, prints: bool = False) -> list[str]:
    """One line for each forbidden thing in a file; with `writes` it is the one that may write, with `prints` that may print."""
    return list(_faults(ast.parse(source), writes, prints))


def _faults(tree: ast.AST, writes: bool, prints: bool) -> Iterator[str]:
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            found = {name.name.split(".")[0] for name in node.names} & PICKLES
            yield from (f"line {line} imports {name}" for name in sorted(found))
        elif isinstance(node, ast.ImportFrom):
            yield from (f"line {line} imports {name}" for name in _imported_by_name(node))
        elif isinstance(node, ast.Call):
            reasons = [*_lets_in(node), *([] if writes else _writes(node)), *([] if prints else _prints(node))]
            yield from (f"line {line} calls {ast.unparse(node.func)}: {reason}" for reason in reasons)


def _imported_by_name(node: ast.ImportFrom) -> Iterator[str]:
    module = node.module or ""
    if module.split(".")[0] in PICKLES:
        yield module
    for name in node.names:
        if name.name in PICKLES or (module in BY_MODULE and name.name not in HARMLESS_BY_NAME):
            yield f"{module}.{name.name}"


def _prints(call: ast.Call) -> Iterator[str]:
    if ast.unparse(call.func) in PRINTING or ast.unparse(call.func).endswith(STREAMS):
        yield "prints names as they are; harness.streams.show and say do not"


def _lets_in(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    if name in CODE or name in YAML:
        yield "runs what it reads"
    if name.endswith(UNPACKING):
        yield "unpacks to where the archive says"
    for keyword in call.keywords:
        value = ast.unparse(keyword.value)
        if keyword.arg == "shell" and value != "False":
            yield "runs a shell"
        if (keyword.arg, value) not in (("weights_only", "True"), ("allow_pickle", "False")) and keyword.arg in (
            "weights_only",
            "allow_pickle",
        ):
            yield "loads pickles"
    if name == "torch.load" and not any(keyword.arg == "weights_only" for keyword in call.keywords):
        yield "leaves weights_only to chance"


def _writes(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    if name.startswith((FILES, OWN)):
        return
    if name.endswith(WRITING) or name in OS_WRITING or (name.startswith("shutil.") and name not in SHUTIL_READING):
        yield "writes or removes"
    elif (name in INTO_AN_ARGUMENT or name.endswith((".savefig", ".save"))) and _target(call) not in IN_MEMORY:
        if name in INTO_AN_ARGUMENT or name.endswith(".savefig") or _is_a_picture(call):
            yield "writes"
    elif name == "os.open":
        if any(flag in ast.unparse(call) for flag in WRITING_FLAGS):
            yield "opens for writing"
    elif name.endswith("memmap"):
        if '"r"' not in ast.unparse(call).replace("'", '"'):
            yield "opens for writing"
    elif name in ("open", "io.open") or name.endswith((".open", ".ZipFile", ".fdopen")):
        place = 0 if isinstance(call.func, ast.Attribute) and name.endswith(".open") and not _module_opens(name) else 1
        modes = [*call.args[place : place + 1], *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
        if any(not _reads(mode) for mode in modes) and _target(call) not in IN_MEMORY:
            yield "opens for writing"


def _module_opens(name: str) -> bool:
    """Whether it is a module's open, whose mode is the second argument, and not the method of a path."""
    return name.split(".")[0] in ("tarfile", "zipfile", "gzip", "bz2", "lzma", "codecs", "io", "av", "Image", "archive")


def _reads(mode: ast.expr) -> bool:
    return isinstance(mode, ast.Constant) and isinstance(mode.value, str) and not set(mode.value) & set("wax+")


def _is_a_picture(call: ast.Call) -> bool:
    """Whether a call of `.save` is one of Pillow's: with a format, or with a path as its only argument."""
    return len(call.args) == 2 or (len(call.args) == 1 and not call.keywords and isinstance(call.func, ast.Attribute))


def _target(call: ast.Call) -> str:
    """The name of what is written to."""
    first = (
        call.args[0]
        if call.args
        else next((keyword.value for keyword in call.keywords if keyword.arg in ("file", "fname")), None)
    )
    return "" if first is None else ast.unparse(first)
