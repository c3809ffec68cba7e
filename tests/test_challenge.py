"""The table of challenges and editions."""

from __future__ import annotations

import dataclasses

import pytest

from harness.challenge import (
    AU,
    CE,
    EXPR,
    EXPR_7,
    FORMATS,
    MTL,
    REFUSED,
    STATIC_IMAGES,
    UNI_TASK,
    VA,
    Format,
    Score,
    default_edition,
    format_of,
    ordinal,
)
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
    9: {"VA", "CE"},
    10: {"EXPR", "AU", "VA"},
    11: {"MTL"},
}


def test_every_frame_wise_challenge_of_editions_1_to_11_has_one_format() -> None:
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


@pytest.mark.parametrize(
    ("challenge", "edition", "held"), [("MTL", 5, "3, 4, 7, 11"), ("EXPR", 9, "1, 2, 3, 5, 6, 8, 10"), ("VA", 11, "8, 9, 10")]
)
def test_an_edition_without_the_challenge_names_those_with_it(challenge: str, edition: int, held: str) -> None:
    with pytest.raises(UsageError, match=held):
        format_of(challenge, edition)


def test_the_newest_edition_that_held_a_challenge_is_meant_where_none_is_named() -> None:
    defaults = {challenge.name: default_edition(challenge.name) for challenge in (VA, AU, MTL, CE)}
    assert defaults == {"VA": 10, "AU": 10, "MTL": 11, "CE": 9}
    assert format_of("mtl") is format_of("MTL", 11)


def test_expressions_keep_the_fifth_edition_whose_files_are_those_of_the_newest() -> None:
    assert default_edition("EXPR") == 5
    kept, newest = format_of("EXPR"), format_of("EXPR", 10)
    for attribute in ("header", "layout", "answer_name", "every_frame", "score", "challenge", "archive_layout"):
        assert getattr(kept, attribute) == getattr(newest, attribute), attribute


def test_the_eleventh_edition_asks_for_the_multi_task_answer_of_the_fourth_and_seventh() -> None:
    latest = format_of("MTL", 11)
    for edition in (4, 7):
        before = format_of("MTL", edition)
        for attribute in ("header", "layout", "answer_name", "score", "test_rows", "repeats"):
            assert getattr(latest, attribute) == getattr(before, attribute), attribute
    assert latest.repeats
    assert latest.verified("repeats")
    assert latest.sent_to == "the evaluation server"
    assert latest.data_rule == STATIC_IMAGES
    assert not format_of("MTL", 3).verified("repeats")


def test_one_task_at_a_time_is_the_rule_of_expressions_values_and_units_since_the_third_edition() -> None:
    ruled = {(form.challenge.name, form.edition) for form in FORMATS if form.data_rule == UNI_TASK}
    assert ruled == {(name, edition) for edition, names in HELD.items() if edition >= 3 for name in names & {"EXPR", "VA", "AU"}}


def test_the_values_of_the_tenth_edition_were_counted_and_those_of_the_eighth_inferred() -> None:
    counted = format_of("VA", 10)
    assert all(counted.verified(name) for name in ("test_tracks", "test_rows", "sample_files", "submissions", "layout", "score"))
    assert counted.sample_files == ("ABAW_VA_test_set_sample.txt", "ABAW_VA_test_set_example.txt")
    assert not format_of("VA", 8).verified("test_rows")


def test_official_labels_are_as_many_as_teams_counted() -> None:
    for challenge in (EXPR, VA, AU, MTL):
        first_fields = [field.name for field in challenge.fields]
        for split in (challenge.training, challenge.validation):
            assert split is not None
            assert all(name in first_fields and (split.rows is None or 0 < count <= split.rows) for name, count in split.labelled)
    assert EXPR.training is not None
    assert dict(EXPR.training.labelled)["expression"] == sum(EXPR.training_frames)
    # Both values of a row are missing together: 2,200 and 1,793 rows of the two splits.
    missing = [split.rows - dict(split.labelled)["valence"] for split in (VA.training, VA.validation) if split and split.rows]
    assert missing == [2_200, 1_793]


def test_an_unknown_challenge_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'EXPR'"):
        format_of("EXPRESSION", 5)


def test_names_are_found_in_any_case() -> None:
    assert format_of("expr", 5).challenge is EXPR


def test_ordinals() -> None:
    assert [ordinal(number) for number in (1, 2, 3, 4, 10, 11, 12, 13, 21, 112)] == [
        "1st", "2nd", "3rd", "4th", "10th", "11th", "12th", "13th", "21st", "112th",
    ]  # fmt: skip
