"""Which runs are seeds of one recipe."""

from __future__ import annotations

from typing import Any

import pytest

from harness.runs.seeds import by_recipe


def manifest(seed: int, **changes: Any) -> dict[str, Any]:
    """A run.json as `harness train` writes it, in short."""
    return {
        "format": 1,
        "kind": "training",
        "challenge": "EXPR",
        "recipe": {"backbone": "lite0", "seed": seed, "batch": 64, "weights": "/here/lite0.pth"},
        "seed": seed,
        "data": {"fingerprint": "f", "splits": ["train"]},
        "weights": {"file": "lite0.pth", "sha256": "w"},
        "versions": {"torch": "2"},
        "where": {"data": "/here"},
        **changes,
    }


def test_seeds_of_a_recipe_stand_together_wherever_and_with_whatever_versions_they_were_trained() -> None:
    elsewhere = manifest(1, where={"data": "/there"}, versions={}, weights={"file": "copy.pth", "sha256": "w"}, chosen=[{"a": 1}])
    runs = {"a": manifest(0), "other": manifest(0, kind="crossval", members=["other-fold-0"]), "b": elsewhere}
    runs["other-1"] = manifest(1, kind="crossval", members=["other-1-fold-0"])
    assert by_recipe(runs) == [("a", "b"), ("other", "other-1")]


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": {"backbone": "lite0", "seed": 1, "batch": 32}},
        {"data": {"fingerprint": "f", "splits": ["train"], "fold": 2}},
        {"weights": {"file": "lite0.pth", "sha256": "others"}},
        {"features": [{"run": "vectors", "sha256": "s"}]},
        {"challenge": "VA"},
    ],
)
def test_another_setting_split_start_or_challenge_is_another_recipe(changes: dict[str, Any]) -> None:
    assert by_recipe({"a": manifest(0), "b": manifest(1, **changes)}) == [("a",), ("b",)]


def test_the_same_seed_twice_is_no_second_seed() -> None:
    runs = {"a": manifest(0), "again": manifest(0), "b": manifest(1), "b-again": manifest(1)}
    assert by_recipe(runs) == [("a", "b"), ("again", "b-again")]


def test_what_was_not_trained_stands_alone() -> None:
    runs = {"one": {"kind": "imported"}, "other": {"kind": "imported"}, "text": {}}
    assert by_recipe(runs) == [("one",), ("other",), ("text",)]
