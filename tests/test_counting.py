"""The figures of benchmarks/counting.py, on files small enough to count by hand."""

from __future__ import annotations

from benchmarks.counting import count, lines_of_code

SOURCE = '''"""What this is.

Two lines more.
"""

import os  # a comment behind code

# A comment.
LIMIT = 3
"""A text that stands alone."""


class Shape:
    """A docstring."""

    def area(self) -> str:
        text = """a text

        over three lines, which is code"""
        return text


def _hidden(): return os
'''


def test_comments_blanks_and_docstrings_are_no_code_and_texts_in_code_are() -> None:
    assert lines_of_code(SOURCE) == 1 + 1 + 1 + 1 + 3 + 1 + 1


def test_methods_and_nested_functions_count_and_only_public_names_of_two_files_are_defined_twice() -> None:
    other = "class Shape:\n    def area(self): ...\n    def name(self): ...\ndef _hidden():\n    def inner(): ...\n"
    found = count({"a.py": SOURCE, "b.py": other, "__init__.py": "def area(): ...\n", "empty.py": "# nothing\n"})
    assert (found.files, found.functions, found.classes, found.code) == (4, 2 + 4 + 1, 2, 9 + 5 + 1)
    assert found.twice == {"Shape": ["a.py", "b.py"]}
    assert found.tiny == {"a.py": 9, "b.py": 5}
