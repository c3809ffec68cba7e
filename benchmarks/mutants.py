"""Mutants: which small changes of the code would no test notice? `make mutants`.

    python -m benchmarks.mutants [--count 300] [--seed 0] [--rows FILE] [--work DIR] [--only harness/selection]
    python -m benchmarks.mutants --table

Draws lines of the code at random and changes each in one way (benchmarks/mutating.py says how). Each mutant lies in a copy of the
tree, and the tests that execute the changed line run in a forked process that has the libraries loaded: first those of the file's
own tests, quickest first, until one fails. What shares a fixture that the change cannot touch gets it as it was made once.
Time is limited in seconds of processor, so that a busy machine kills nothing: a mutant that needs three times what its tests
took is killed (an endless loop), one that waits for ever, or for another process in vain, counts as alive ("stuck").

Rows are kept as they come; the same command goes on where it was ended. Those that lived are tried again when tests have changed.
Survivors with a reason stand in benchmarks/mutants.yaml; those that provably change nothing are left out of the second share.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import itertools
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from benchmarks.mutant_tests import KILLED, Loaded, find_reach, pytest_arguments, run_mutant, sources, test_files
from benchmarks.mutant_tree import Workplace, digest, enter
from benchmarks.mutating import Mutant, mutants
from benchmarks.rows import Rows

REASONS = Path(__file__).with_name("mutants.yaml")


def draw(tree: Path, seed: int) -> Iterator[tuple[str, Mutant]]:
    """Mutants at random, one a line: any line, then any operator that applies there, then any change of it.

    A line's place in the order is a digest of the seed, the file and what the line says, so that a change of other lines draws
    no other mutants.
    """
    by_line: dict[str, tuple[str, list[Mutant]]] = {}
    for name in sources(tree):
        source = (tree / name).read_text()
        lines, seen = source.splitlines(), Counter[str]()
        for line, changes in itertools.groupby(
            sorted(mutants(source), key=lambda mutant: mutant.line), lambda mutant: mutant.line
        ):
            text = lines[line - 1].strip()
            key = hashlib.sha256(f"{seed}\0{name}\0{text}\0{seen[text]}".encode()).hexdigest()
            by_line[key] = (name, list(changes))
            seen[text] += 1
    for key, (name, there) in sorted(by_line.items()):
        generator = random.Random(key)
        operator = generator.choice(sorted({mutant.operator for mutant in there}))
        yield name, generator.choice([mutant for mutant in there if mutant.operator == operator])


def campaign(arguments: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Runs the mutants that have no row yet."""
    place = Workplace(arguments.work)
    place.copy_tree()
    enter(place.tree)
    tests = digest(place.tree, test_files(place.tree))
    rows = Rows(arguments.rows)
    drawn = list(itertools.islice((one for one in draw(place.tree, arguments.seed) if arguments.only in one[0]), arguments.count))

    def work(loaded: Loaded) -> None:
        reach = find_reach(place, loaded, say)
        for number, (file, mutant) in enumerate(drawn, 1):
            text = (place.tree / file).read_text().splitlines()[mutant.line - 1].strip()
            key = {"seed": arguments.seed, "file": file, "source": digest(place.tree, [file]),
                   "begin": mutant.begin, "change": mutant.change}  # fmt: skip
            known = [row for row in rows.all if all(row[name] == value for name, value in key.items())]
            if any(row["outcome"] == KILLED or row["tests"] == tests for row in known):
                continue
            ended = run_mutant(place, reach, loaded, file, mutant)
            rows.add({**key, "line": mutant.line, "text": text, "operator": mutant.operator, "tests": tests,
                      "outcome": ended.outcome, "by": ended.by, "seconds": round(ended.seconds, 2)})  # fmt: skip
            say(f"{number:4} {ended.outcome:8} {ended.seconds:6.1f} s  {file}:{mutant.line}  {mutant.change[:90]}")

    pytest.main(
        ["-x", *pytest_arguments(place.tree, place.temporary, test_files(place.tree))], plugins=[Loaded(place.tree, work)]
    )


def table(arguments: argparse.Namespace) -> str:
    """Killed, survived and the shares, then each survivor with its place, its change and the reason if one is known."""
    place = Workplace(arguments.work)
    rows = {(row["file"], row["begin"], row["change"]): row for row in Rows(arguments.rows).all if row["seed"] == arguments.seed}
    drawn = [one for one in draw(place.tree, arguments.seed) if arguments.only in one[0]][: arguments.count]
    found = [row for file, mutant in drawn if (row := rows.get((file, mutant.begin, mutant.change)))]
    reasons = {(one["file"], one["text"], one["change"]): one for one in yaml.safe_load(REASONS.read_text()) or []}
    alive = [row for row in found if row["outcome"] != KILLED]
    known = [reasons.get((row["file"], row["text"], row["change"])) for row in alive]
    same = sum(one is not None and one["equivalent"] for one in known)
    killed = len(found) - len(alive)
    lines = [f"{len(found)} mutants of seed {arguments.seed}: {killed} killed, {len(alive)} alive"]
    if found:
        lines += [
            f"killed of all: {killed / len(found):.1%}",
            f"killed of those that change anything: {killed / (len(found) - same):.1%}",
        ]
    for row, reason in zip(alive, known, strict=True):
        said = f"{'equivalent: ' if reason['equivalent'] else ''}{reason['reason']}" if reason else "no reason is known"
        lines.append(f"{row['outcome']}  {row['file']}:{row['line']}  {row['text']}\n    {row['change']}\n    {said}")
    return "\n".join(lines)


def main() -> None:
    """See the docstring of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=Path, default=Path("reports/mutants.jsonl"))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "mutants")
    parser.add_argument("--only", default="", help="files whose path holds this")
    parser.add_argument("--table", action="store_true", help="only show what is known")
    arguments = parser.parse_args()
    arguments.rows, arguments.work = arguments.rows.absolute(), arguments.work.absolute()
    arguments.rows.parent.mkdir(parents=True, exist_ok=True)
    if not arguments.table:
        campaign(arguments, functools.partial(print, flush=True, file=os.fdopen(os.dup(1), "w")))
    print(table(arguments))


if __name__ == "__main__":
    main()
