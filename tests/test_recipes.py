"""Recipes: what is read, what is refused, and the ones that come along."""

from __future__ import annotations

import itertools
import re
from dataclasses import fields
from pathlib import Path

import pytest
import torch
import yaml
from click.testing import CliRunner

from harness.cli import harness
from harness.errors import DataError, HarnessError, UsageError
from harness.recipes import recipe as recipes
from harness.recipes import settings
from harness.recipes.recipe import Recipe
from harness.recipes.starting import train_options
from harness.training.network import build_network, initial_weights
from models import registry
from models.backbones.base import IMAGENET_MEAN


def parse(text: str) -> Recipe:
    return Recipe(**settings.parse(text.encode(), "my.yaml", Recipe))


def test_every_key_is_documented() -> None:
    for entry in fields(Recipe):
        assert len(entry.metadata["meaning"]) > 10, entry.name


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_that_comes_along_is_plain_yaml_with_our_keys(name: str) -> None:
    path = Recipe.locate(name)
    loaded = yaml.safe_load(path.read_text())
    recipe = recipes.load(name)
    assert set(loaded) <= {entry.name for entry in fields(Recipe)}
    assert recipe.about
    for key, value in loaded.items():
        assert getattr(recipe, key) == (float(value) if isinstance(getattr(recipe, key), float) else value)


# Where the text of the paper and its published configuration disagree, or the text is silent.
MAY_DIFFER = {
    "about", "head", "head_strides", "freeze_stages", "balance", "weight_decay", "warmup", "lowest_learning_rate", "precision",
    "learning_rate", "loss_scale", "rotate", "grayscale", "colour_jitter", "blur", "erase", "crop_area", "normalise",
}  # fmt: skip
# The rows of the paper's Table 1, macro-F1 x 100 on the official validation set.
TABLE1 = {"ir50": 30.78, "apvit-ms1m": 35.48, "apvit-rafdb": 35.63, "res18": 33.69, "res50": 37.57}


def differing_keys(name: str) -> set[str]:
    published, paper = recipes.load(name).as_dict(), recipes.load(f"{name}-paper").as_dict()
    return {key for key in published if published[key] != paper[key]}


@pytest.mark.parametrize("name", TABLE1)
def test_the_paper_s_reading_differs_only_where_paper_and_code_disagree(name: str) -> None:
    assert differing_keys(name)
    assert differing_keys(name) <= MAY_DIFFER


def test_every_key_that_may_differ_does_so_in_some_row() -> None:
    assert set().union(*(differing_keys(name) for name in TABLE1)) == MAY_DIFFER


# Number of a disagreement of text and published code -> recipes whose file says it, the key it stands before, and words of it.
SAID_AT_A_SETTING = {
    1: (("res50",), "head_strides", "two convolutions of stride 2"),
    2: (("res18", "ir50", "apvit-ms1m", "apvit-rafdb"), "head", "the spatial head"),
    3: (("res18", "ir50", "apvit-ms1m", "apvit-rafdb"), "head", "two frozen stages"),
    4: (("apvit-ms1m", "apvit-rafdb"), "learning_rate", "5e-3 for every system"),
    5: (tuple(TABLE1), "precision", "BatchNorm synchronised"),
    6: (tuple(TABLE1), "balance", "Not in the paper"),
    7: (tuple(TABLE1), "frame_step", "one residue of 1..9"),
    8: (("ir50", "apvit-ms1m", "apvit-rafdb"), "crop_area", "random cropping and flips alone"),
    9: (tuple(TABLE1), "evaluate_every", "the better of two evaluations"),
    10: (("apvit-ms1m", "apvit-rafdb"), "crops", "inherits 224 pixels"),
    11: (("ir50",), "about", "never published"),
    12: (("res50",), "allow_partial", "names the Res-18 file"),
    13: (tuple(TABLE1), "label_shift", "image i-1"),
    14: (tuple(TABLE1), "validate_missing", "without a crop"),
    15: (("res18", "res50"), "crops", "their own alignment"),
    17: (tuple(TABLE1), "batch", "64 on each of two GPUs"),
}
IN_THE_DOCUMENTATION_ALONE = {16, 18}
ALL_DISAGREEMENTS = range(1, 19)


def comment_before(name: str, key: str) -> str:
    """The comment lines above a key of a recipe file, as one line of text."""
    lines = Recipe.locate(name).read_text().splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith(f"{key}:"))
    above = itertools.takewhile(lambda line: line.startswith("#"), reversed(lines[:place]))
    return " ".join(line.removeprefix("#").strip() for line in reversed(list(above)))


@pytest.mark.parametrize("number", SAID_AT_A_SETTING)
def test_a_disagreement_of_text_and_code_is_said_at_its_setting(number: int) -> None:
    names, key, words = SAID_AT_A_SETTING[number]
    for name in names:
        assert words in comment_before(name, key), name


def test_what_the_smaller_differences_to_the_published_code_are_is_said_at_their_settings() -> None:
    for name in ("ir50", "apvit-ms1m", "apvit-rafdb"):
        assert "published_augmentation: true" in comment_before(name, "crop_area"), name
    assert "the team's own crops" in comment_before("ir50", "crops")


def test_all_disagreements_of_text_and_code_are_listed_in_the_documentation() -> None:
    page = (Path(__file__).parent.parent / "docs" / "recipes.md").read_text()
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", page, re.M)]
    assert numbers == list(ALL_DISAGREEMENTS)
    assert set(SAID_AT_A_SETTING) | IN_THE_DOCUMENTATION_ALONE == set(ALL_DISAGREEMENTS)
    explained = {int(number) for number in re.findall(r"^- \*\*(\d+)\.\*\*", page, re.M)}
    assert explained == IN_THE_DOCUMENTATION_ALONE | {15}


def test_the_documentation_of_disagreements_names_keys_that_there_are() -> None:
    page = (Path(__file__).parent.parent / "docs" / "recipes.md").read_text()
    rows = [line.split("|") for line in page.splitlines() if re.match(r"\| \d+ \|", line)]
    named = {word.split(":")[0] for row in rows for word in re.findall(r"`([a-z_]+(?:: [^`]+)?)`", row[-2])}
    keys = {entry.name for entry in fields(Recipe)}
    assert len(named & keys) > 15
    assert named - keys <= set(TABLE1)


def test_the_wrong_initial_weights_of_the_published_res50_are_an_option_that_is_off(tmp_path: Path) -> None:
    small = registry.create("res18")
    for index, tensor in enumerate(small.state_dict().values()):
        tensor.copy_(torch.full(tensor.shape, index + 1))
    path = tmp_path / "ContraWarping_R18.pth"
    torch.save({"state_dict": {f"backbone.{name}": tensor for name, tensor in small.state_dict().items()}}, path)
    network = registry.create("res50")
    given = {"weights": str(path)}
    with pytest.raises(DataError, match="allow_partial=true"):
        load_all(recipes.load("res50", given), network)
    lines = load_all(recipes.load("res50", {**given, "allow_partial": "true"}), network)
    assert "so random: layer1.0" in lines[1]
    assert torch.equal(network.state_dict()["conv1.weight"], small.state_dict()["conv1.weight"])


def load_all(recipe: Recipe, network: torch.nn.Module) -> list[str]:
    weights = initial_weights(recipe, from_scratch=False)
    assert weights is not None
    return weights.load_into(network)


@pytest.mark.parametrize("reading", ["", "-paper"])
@pytest.mark.parametrize("name", TABLE1)
def test_a_row_of_table_1_has_the_paper_s_figure_and_names_its_weights(name: str, reading: str) -> None:
    recipe = recipes.load(name + reading)
    assert recipe.paper_f1 == TABLE1[name]
    with pytest.raises(DataError, match="--from-scratch") as refusal:
        initial_weights(recipe, from_scratch=False)
    assert refusal.value.expected == recipe.weights_wanted
    assert initial_weights(recipe, from_scratch=True) is None


@pytest.mark.parametrize("reading", ["", "-paper"])
@pytest.mark.parametrize("name", ["ir50", "apvit-ms1m", "apvit-rafdb"])
def test_a_row_of_112_pixels_sees_the_official_crops_as_they_are(name: str, reading: str) -> None:
    recipe = recipes.load(name + reading)
    assert (recipe.crops, recipe.decode_size, recipe.image_size, recipe.test_resize) == ("cropped_aligned", 0, 112, 112)


@pytest.mark.parametrize("name", ["ir50", "apvit-ms1m", "apvit-rafdb"])
def test_a_row_of_112_pixels_is_augmented_as_its_published_pipeline(name: str) -> None:
    recipe = recipes.load(name)
    assert (recipe.crop_area, recipe.flip, recipe.rotate) == ([0.8, 1.0], 0.5, 6)
    assert (recipe.grayscale, recipe.colour_jitter, recipe.blur, recipe.erase) == (0.2, 0.4, 0.5, 0.5)
    assert (recipe.head, recipe.freeze_stages, recipe.normalise) == ("pooled", 0, "imagenet")
    assert recipe.learning_rate == (5e-3 if name == "ir50" else 1e-3)
    assert (recipe.weight_decay, recipe.warmup, recipe.lowest_learning_rate) == (0.01, 100, 0.0)


@pytest.mark.parametrize(
    ("normalise", "mean"), [("backbone", (0.5, 0.5, 0.5)), ("half", (0.5, 0.5, 0.5)), ("imagenet", IMAGENET_MEAN)]
)
def test_normalise_decides_what_is_taken_off_the_pixels(normalise: str, mean: tuple[float, float, float]) -> None:
    recipe = recipes.load("ir50", {"normalise": normalise, "image_size": "16", "test_resize": "16"})
    assert build_network(recipe, 8).backbone.mean == mean


def test_the_paper_s_head_maps_ir50_to_256_features() -> None:
    network = build_network(recipes.load("ir50-paper"), 8)
    assert network.head.state_dict()["fc.weight"].shape == (8, 256)
    assert network.backbone.feature_shape == (512, 7, 7)


def test_res50_is_the_published_configuration() -> None:
    recipe = recipes.load("res50")
    assert (recipe.head, recipe.head_strides, recipe.head_width, recipe.freeze_stages) == ("spatial", [1, 2], 256, 2)
    assert (recipe.batch, recipe.iterations, recipe.learning_rate, recipe.lowest_learning_rate) == (128, 8000, 5e-3, 1e-5)
    assert (recipe.momentum, recipe.weight_decay, recipe.warmup, recipe.warmup_from) == (0.9, 0.01, 100, 0.1)
    assert (recipe.balance, recipe.balance_threshold, recipe.frame_step) == ("copies", 0.15, 10)
    assert (recipe.image_size, recipe.test_resize, recipe.crop_area, recipe.flip) == (224, 256, [0.6, 1.0], 0.5)


def test_res18_pools_and_freezes_nothing_as_published() -> None:
    recipe = recipes.load("res18")
    assert (recipe.head, recipe.freeze_stages) == ("pooled", 0)


REFUSED = [
    ("bathc: 3", UsageError, 1, "batch"),
    ("batch: 3\nbatch: 4", DataError, 2, "occurs twice"),
    ("batch: three", UsageError, 1, "whole number"),
    ("batch: 3.5", UsageError, 1, "whole number"),
    ("batch: true", UsageError, 1, "whole number"),
    ("batch: 1", UsageError, 1, "at least 2"),
    ("flip: no", UsageError, 1, "a number"),
    ("flip: 1.5", UsageError, 1, "at most 1"),
    ("learning_rate: .nan", UsageError, 1, "finite|at least"),
    ("decay_everything: 1", UsageError, 1, "true or false"),
    ("frame_draw: frehs", UsageError, 1, "fresh"),
    ("optimizer: adam", UsageError, 1, "adamw"),
    ("crop_area: 0.5", UsageError, 1, "a list"),
    ("crop_area: [0.5, [1]]", UsageError, 1, "a list of a number"),
    ("a: {b: 1}", DataError, 1, "flat"),
    ("- a\n- b", DataError, 1, "key: value"),
    ("about: !!python/object:os.system ls", DataError, 1, "python"),
    ("about: [&a x, *a]", DataError, 1, "alias"),
    ("about: 'x\nseed: 1", DataError, 2, "not YAML"),
    ("batch: 4\n\tseed: 1", DataError, 2, "not YAML"),
    ("weights: [a]", UsageError, 1, "text or null"),
    ("batch:", UsageError, 1, "whole number"),
    ("batch: -4", UsageError, 1, "at least 2"),
    ("batch: .inf", UsageError, 1, "whole number"),
    ("batch: 1e400", UsageError, 1, "whole number"),
    ("batch: [4]", UsageError, 1, "whole number"),
    ("seed: 0.5", UsageError, 1, "whole number"),
    ("learning_rate: fast", UsageError, 1, "a number"),
    ("learning_rate: -0.1", UsageError, 1, "at least"),
    ("learning_rate: .inf", UsageError, 1, "finite"),
    ("learning_rate: 2026-01-01", UsageError, 1, "a number"),
    ("precision: fp8", UsageError, 1, "fp16"),
    ("crop_area: {low: 0.5}", DataError, 1, "flat"),
    ("head_strides: [1, two]", UsageError, 1, "whole number"),
    ("Batch: 4", UsageError, 1, "batch"),
    ("3: 4", UsageError, 1, "unknown key '3'"),
    ("? [a, b]\n: 1", DataError, 1, "a key must be a word"),
    ("batch: !!int four", DataError, 1, "unknown kind"),
    ("batch: 4\n---\nbatch: 8", DataError, 2, "document"),
    ("seed: 1\nbatch: {", DataError, 2, "not YAML"),
    ("\x00batch: 4", DataError, 1, "character"),
    ('about: "\\ud800"', DataError, 1, "character"),
]


@pytest.mark.parametrize(("text", "kind", "line", "says"), REFUSED)
def test_a_wrong_recipe_is_refused_with_its_line(text: str, kind: type[HarnessError], line: int, says: str) -> None:
    with pytest.raises(kind, match=says) as refusal:
        parse(text)
    assert refusal.value.path == "my.yaml"
    assert refusal.value.line == line


@pytest.mark.parametrize("text", ["010", "0x10", "0b11", "1_000", "1:30", "+010"])
def test_a_number_that_yaml_1_1_reads_otherwise_than_it_looks_is_refused(text: str) -> None:
    assert isinstance(yaml.safe_load(text), int)
    for key in ("batch", "learning_rate"):
        with pytest.raises(UsageError, match="programs disagree"):
            parse(f"{key}: {text}")
        with pytest.raises(UsageError, match="programs disagree"):
            recipes.load("lite0", {key: text})
    assert parse(f"about: {text}").about == text


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("learning_rate: 5e-3", 0.005), ("learning_rate: .5", 0.5), ("learning_rate: '1e-2'", 0.01), ("learning_rate: 1.", 1.0),
        ("batch: +64", 64), ("decay_everything: yes", True), ("decay_everything: Off", False), ("weights: ~", None),
        ("weights: no", "no"), ("weights: 2026-01-01", "2026-01-01"), ("weights: 1e3", "1e3"), ("about: 'true'", "true"),
    ],
)  # fmt: skip
def test_a_value_means_what_it_looks_like(line: str, value: object) -> None:
    found = getattr(parse(line), line.split(":")[0])
    assert found == value
    assert type(found) is type(value)


def test_at_least_forty_wrong_recipes_were_tried() -> None:
    assert len({text for text, *_ in REFUSED}) >= 40


def test_combinations_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(UsageError, match="test_resize"):
        parse("image_size: 224\ntest_resize: 112")
    for area in ("[0.9, 0.5]", "[0.5, 0.7, 0.9]", "[0, 1]"):
        with pytest.raises(UsageError, match="crop_area"):
            parse(f"crop_area: {area}")
    with pytest.raises(UsageError, match="head_strides"):
        parse("head_strides: [1, 3]")

    with pytest.raises(UsageError, match="weights_second_part"):
        parse("weights_second: vit.pth")


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{k}: &a{k} [{','.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 12))
    with pytest.raises(HarnessError):
        parse(bomb)


@pytest.mark.parametrize("name", sorted(TABLE1))
def test_the_list_of_recipes_shows_the_paper_s_f1_and_the_weights_a_row_wants(name: str) -> None:
    lines = CliRunner().invoke(harness, ["recipes"]).output.splitlines()
    number = next(number for number, line in enumerate(lines) if line.split()[0] == name)
    assert f"paper F1 {TABLE1[name] / 100:.3f}".replace("0.", ".") in lines[number]
    wanted = recipes.load(name).weights_wanted
    assert wanted
    assert lines[number + 1].strip() == f"wants {wanted}"


def test_an_unknown_recipe_suggests_a_near_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'res50'"):
        recipes.load("res5O")


def test_changes_are_checked_like_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("batch: 16\n")
    assert recipes.load(str(path), {"batch": "32", "learning_rate": "1e-3"}).learning_rate == 1e-3
    with pytest.raises(UsageError, match="bathc"):
        recipes.load(str(path), {"bathc": "32"})


def test_a_recipe_survives_run_json() -> None:
    recipe = recipes.load("res50")
    assert Recipe.from_dict(recipe.as_dict(), "run.json") == recipe


def test_explain_names_every_key_once() -> None:
    keys = [key for key, _, _ in settings.explain(recipes.load("res50"))]
    assert sorted(keys) == sorted(entry.name for entry in fields(Recipe))


@pytest.mark.parametrize("backbone", [*registry.names(), "torchvision:shufflenet_v2_x0_5", "torchvision:vit_b_16"])
def test_the_training_that_is_named_for_a_backbone_can_be_built(backbone: str) -> None:
    size = registry.create_without_data(backbone).image_size
    recipe, changes = parsed(train_options(backbone, size, "b.safetensors"))
    chosen = recipes.load(recipe, changes)
    with torch.device("meta"):
        network = build_network(chosen, 8)
    network.freeze(chosen.freeze_stages)
    assert (chosen.backbone, chosen.weights, chosen.weights_part) == (backbone, "b.safetensors", None)
    assert network(torch.empty(2, 3, chosen.image_size, chosen.image_size, device="meta")).shape == (2, 8)
    assert chosen.image_size == size


@pytest.mark.parametrize(("part", "first", "second"), [("extractor", "b.pth", "VIT_FILE"), ("vit", "IR50_FILE", "b.pth")])
def test_a_part_of_apvit_is_named_beside_the_other(part: str, first: str, second: str) -> None:
    chosen = recipes.load(*parsed(train_options("apvit", 112, "b.pth", part)))
    assert {chosen.weights_part: chosen.weights, chosen.weights_second_part: chosen.weights_second} == {
        "extractor": first,
        "vit": second,
    }
    assert second == chosen.weights_second


def parsed(options: str) -> tuple[str, dict[str, str]]:
    """Recipe and changes of a command line of `harness train`."""
    words = options.split()
    pairs = list(zip(words[::2], words[1::2], strict=True))
    changes = dict(value.split("=", 1) for option, value in pairs if option == "--set")
    given = {option: value for option, value in pairs if option != "--set"}
    return given["--recipe"], {**changes, "weights": given["--weights"]}
