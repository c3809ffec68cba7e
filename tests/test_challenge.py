"""The table of challenges and editions."""

from __future__ import annotations

import dataclasses

import pytest

from harness.challenge import AU, CE, EXPR, EXPR_7, FORMATS, MTL, REFUSED, VA, Format, Score, format_of, ordinal
from harness.errors import UsageError

HELD = {
    1: {"EXPR", "AU", "VA"},
    2: {"EXPR", "AU", "VA"},
    3: {"EXPR", "AU", "VA", "MTL"},
    4: {"MTL"},
    5: {"EXPR", "AU", "VA"},
    6: {"EXPR", "AU", "VA", "CE"},
    7: {"MTL", "CE"},
    8: {"EXPR", "AU", "VA"},
    10: {"EXPR", "AU", "VA"},
}


def test_every_frame_wise_challenge_of_editions_1_to_10_has_one_format() -> None:
    held: dict[int, set[str]] = {}
    for form in FORMATS:
        held.setdefault(form.edition, set()).add(form.challenge.name)
    assert held == HELD
    assert len(FORMATS) == sum(len(names) for names in HELD.values())


def test_headers_are_those_of_the_official_files() -> None:
    assert format_of("EXPR", 3).header == "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
    assert format_of("EXPR", 2).header == "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise"
    assert format_of("EXPR", 5).header == "image_location,Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
    assert format_of("VA", 1).header == "valence,arousal"
    assert format_of("VA", 6).header == "image_location,valence,arousal"
    assert format_of("AU", 1).header == "AU1,AU2,AU4,AU6,AU12,AU15,AU20,AU25"
    assert format_of("AU", 5).header == "image_location,AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26"
    assert format_of("MTL", 7).header == "image,valence,arousal,expression,aus"
    assert format_of("CE", 6).header == (
        "image_location,Fearfully_Surprised,Happily_Surprised,Sadly_Surprised,Disgustedly_Surprised,"
        "Angrily_Surprised,Sadly_Fearful,Sadly_Angry"
    )


def test_rows_have_other_numbers_of_fields_than_headers_have_names() -> None:
    fields = {challenge.name: len(challenge.fields) for challenge in (EXPR, VA, AU, MTL, CE)}
    assert fields == {"EXPR": 1, "VA": 2, "AU": 12, "MTL": 15, "CE": 1}
    assert len(EXPR_7.class_names) == 7
    assert EXPR_7.fields[0].high == 6


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_layout_file_and_image_column_agree(form: Format) -> None:
    single = form.edition >= 4 or form.challenge == MTL
    assert form.layout == ("single" if single else "tracks")
    assert bool(form.image_column) == single
    assert form.answer_name.endswith("predictions.txt" if single else "<track>.txt")


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_every_value_is_marked_verified_or_inferred_by_its_name(form: Format) -> None:
    attributes = {field.name for field in dataclasses.fields(Format)}
    assert form.inferred <= attributes
    assert not form.verified("archive_layout")
    assert form.verified("challenge")


def test_the_official_leaderboard_of_the_second_edition_follows_from_its_score() -> None:
    # Netease Fuxi: total 77.77 from F1 76.33 and accuracy 80.69; AU: 69.70 from 50.59 and 88.82.
    def total(score: Score, values: dict[str, float]) -> float:
        return sum(weight * values[measure] for weight, measure in score.parts)

    assert round(total(format_of("EXPR", 2).score, {"macro_f1": 76.33, "accuracy": 80.69}), 2) == 77.77
    assert round(total(format_of("AU", 2).score, {"unit_f1": 50.59, "unit_accuracy": 88.82}), 1) == 69.7
    assert str(format_of("EXPR", 2).score) == "0.67 macro_f1 + 0.33 accuracy"
    assert str(format_of("EXPR", 5).score) == "macro_f1"


def test_a_perfect_multi_task_answer_scores_three() -> None:
    assert sum(weight for weight, _ in format_of("MTL", 4).score.parts) == pytest.approx(3)


def test_sizes_of_the_official_expression_test_set() -> None:
    form = format_of("EXPR", 5)
    assert (form.test_tracks, form.test_rows, form.submissions) == (228, 1_022_655, 5)
    assert sum(EXPR.training_frames) == 597_361
    assert len(EXPR.training_frames) == len(EXPR.class_names)


@pytest.mark.parametrize("name", [*REFUSED, *(name.lower() for name in REFUSED)])
def test_other_challenges_are_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError, match=rf"{name.upper()} .*not supported"):
        format_of(name, 5)


def test_the_ninth_edition_is_refused_because_nobody_knows_it() -> None:
    with pytest.raises(UsageError, match="9th edition asked for is not known"):
        format_of("EXPR", 9)


def test_an_edition_without_the_challenge_names_those_with_it() -> None:
    with pytest.raises(UsageError, match="3, 4, 7"):
        format_of("MTL", 5)


def test_an_unknown_challenge_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'EXPR'"):
        format_of("EXPRESSION", 5)


def test_names_are_found_in_any_case() -> None:
    assert format_of("expr", 5).challenge is EXPR


def test_ordinals() -> None:
    assert [ordinal(number) for number in (1, 2, 3, 4, 10, 11, 12, 13, 21, 112)] == [
        "1st", "2nd", "3rd", "4th", "10th", "11th", "12th", "13th", "21st", "112th",
    ]  # fmt: skip
