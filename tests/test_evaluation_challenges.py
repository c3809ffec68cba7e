"""Values, units and all three tasks are scored and compared as SciPy, scikit-learn, slow loops and trying every swap say."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special, stats
from sklearn import metrics

from harness.challenge import AU, MTL, MULTI_TASK, UNIT_F1_AND_ACCURACY, VA, Challenge, usual_score
from harness.errors import DataError, MismatchError
from harness.evaluation.compare import compare, compare_runs
from harness.evaluation.describe import describe, describe_comparison, track_table
from harness.evaluation.evaluate import evaluate
from harness.evaluation.intervals import jackknife
from harness.evaluation.predictions import Scored, ScoredTrack, sums_by_recording
from harness.evaluation.shifts import score_shifts
from harness.evaluation.stored import as_stored, comparison_as_stored
from harness.files import json_text
from harness.kinds.parts import parts_of
from tests.scored_challenges import moving, scored_tracks

each = pytest.mark.parametrize("challenge", [VA, AU, MTL], ids=lambda one: one.name)


def pooled(tracks: list[ScoredTrack], challenge: Challenge, field: str, with_face: bool = False) -> tuple[NDArray, NDArray]:
    """The labelled frames of a field, of all tracks one after the other."""
    place = [one.name for one in challenge.fields].index(field)
    ignore = challenge.fields[place].ignore
    kept = [(one.labels[:, place] != ignore) & (one.has_face if with_face else True) for one in tracks]
    labels, answers = (
        np.concatenate([array[keep, place] for array, keep in zip(arrays, kept, strict=True)])
        for arrays in ([one.labels for one in tracks], [one.answers for one in tracks])
    )
    return labels, answers


def slow_concordance(labels: NDArray, answers: NDArray) -> float:
    """As the organisers write it: 2 s_xy / (s_x² + s_y² + (mean x - mean y)²) over all frames, dividing by their number."""
    count, label_sum, answer_sum = 0, 0.0, 0.0
    for label, answer in zip(labels.tolist(), answers.tolist(), strict=True):
        count, label_sum, answer_sum = count + 1, label_sum + label, answer_sum + answer
    mean, own = label_sum / count, answer_sum / count
    pairs = list(zip(labels.tolist(), answers.tolist(), strict=True))
    together = sum((label - mean) * (answer - own) for label, answer in pairs) / count
    spread = sum((label - mean) ** 2 + (answer - own) ** 2 for label, answer in pairs) / count
    return float(2 * together / (spread + (mean - own) ** 2))


def independent_measures(tracks: list[ScoredTrack], challenge: Challenge, with_face: bool = False) -> dict[str, float]:
    """Every measure of every column, and of all columns of a part together, by other programs."""
    found: dict[str, float] = {}
    f1, hits = [], []
    for field in challenge.fields:
        labels, answers = pooled(tracks, challenge, field.name, with_face)
        if field.kind == "real":
            found[f"ccc_{field.name}"] = slow_concordance(labels, answers)
            found[f"pearson_{field.name}"] = stats.pearsonr(labels, answers)[0]
            found[f"rmse_{field.name}"] = metrics.root_mean_squared_error(labels, answers)
            found[f"mean_absolute_error_{field.name}"] = metrics.mean_absolute_error(labels, answers)
            found[f"sign_agreement_{field.name}"] = np.mean(np.sign(labels) == np.sign(answers))
        elif field.kind == "unit":
            scores = metrics.precision_recall_fscore_support(labels, answers, average="binary", zero_division=0)
            found |= {f"{what}_{field.name}": one for what, one in zip(("precision", "recall", "f1"), scores[:3], strict=True)}
            found[f"accuracy_{field.name}"] = np.mean(labels == answers)
            found[f"prevalence_{field.name}"] = labels.mean()
            f1.append(found[f"f1_{field.name}"])
            hits.append(labels == answers)
        else:
            scores = metrics.precision_recall_fscore_support(labels, answers, labels=range(8), zero_division=0)
            for what, numbers in zip(("precision", "recall", "f1"), scores[:3], strict=True):
                found |= {f"{what}_{name}": number for name, number in zip(challenge.class_names, numbers, strict=True)}
            found |= {"macro_f1": scores[2].mean(), "accuracy": metrics.accuracy_score(labels, answers)}
    if f1:
        found |= {"unit_f1": float(np.mean(f1)), "unit_accuracy": float(np.concatenate(hits).mean())}
    return found


def score_of(found: dict[str, float], challenge: Challenge) -> float:
    return sum(weight * found[name] for weight, name in usual_score(challenge).parts)


@each
def test_every_measure_agrees_with_other_programs(challenge: Challenge) -> None:
    tracks = scored_tracks(challenge)
    result = evaluate(tracks, challenge)
    assert result.with_face is not None
    for frames, with_face in ((result.all_labelled, False), (result.with_face, True)):
        expected = independent_measures(tracks, challenge, with_face)
        assert {name: one.value for name, one in frames.measures.items()} == pytest.approx(expected)
        assert frames.score.value == frames.usual_score.value == pytest.approx(score_of(expected, challenge))
    assert 0 < result.with_face.frames < result.all_labelled.frames


def test_the_score_of_all_tasks_is_the_mean_concordance_and_both_f1() -> None:
    tracks = scored_tracks(MTL)
    found = independent_measures(tracks, MTL)
    by_hand = (found["ccc_valence"] + found["ccc_arousal"]) / 2 + found["macro_f1"] + found["unit_f1"]
    assert evaluate(tracks, MTL, MULTI_TASK).all_labelled.score.value == pytest.approx(by_hand)


def test_the_score_of_units_in_the_first_editions_is_half_accuracy() -> None:
    tracks = scored_tracks(AU)
    found = independent_measures(tracks, AU)
    frames = evaluate(tracks, AU, UNIT_F1_AND_ACCURACY).all_labelled
    assert frames.score.value == pytest.approx((found["unit_f1"] + found["unit_accuracy"]) / 2)
    assert frames.usual_score.value == pytest.approx(found["unit_f1"])


@each
def test_a_label_that_is_missing_leaves_out_its_own_field_alone(challenge: Challenge) -> None:
    tracks = scored_tracks(challenge, count=3, missing=0.0)
    whole = evaluate(tracks, challenge).all_labelled
    for place, field in [*enumerate(challenge.fields)][::4]:
        labels = tracks[0].labels.copy()
        labels[::2, place] = field.ignore
        poorer = [replace(tracks[0], labels=labels), *tracks[1:]]
        found = evaluate(poorer, challenge).all_labelled.measures
        expected = independent_measures(poorer, challenge)
        changed = {name for name, one in found.items() if one.value != whole.measures[name].value}
        assert {name: one.value for name, one in found.items()} == pytest.approx(expected)
        others = [other.name for other in challenge.fields if other is not field]
        assert not any(name.endswith(f"_{other}") for name in changed for other in others)


@each
def test_what_a_score_is_without_a_recording_is_what_the_frames_of_the_others_score(challenge: Challenge) -> None:
    tracks = scored_tracks(challenge, count=5)
    result = evaluate(tracks, challenge)
    without = {one.name: independent_measures([other for other in tracks if other is not one], challenge) for one in tracks}
    by_score = {name: score_of(found, challenge) for name, found in without.items()}
    whole = result.all_labelled.usual_score.value
    assert [one.recording for one in result.influences["score"]] == sorted(
        by_score, key=lambda name: -abs(by_score[name] - whole)
    )[:5]
    for name, influences in result.influences.items():
        for one in influences:
            expected = by_score[one.recording] if name == "score" else without[one.recording][name]
            assert one.without == pytest.approx(expected)
    for column, measure in zip(result.all_labelled.columns, parts_of(challenge).judged_by, strict=True):
        assert column.hangs_on is not None
        assert column.without == pytest.approx(without[column.hangs_on][measure.name])


def fisher_slope(value: float) -> float:
    return 1 / (1 - value**2)


def logit_slope(value: float) -> float:
    return 1 / (value * (1 - value))


def test_the_interval_of_a_concordance_is_laid_by_fisher_and_that_of_an_f1_on_the_logit_scale() -> None:
    tracks = scored_tracks(MTL, count=6, noise=0.1)
    measures = evaluate(tracks, MTL).all_labelled.measures
    without = [independent_measures([other for other in tracks if other is not one], MTL) for one in tracks]
    whole = independent_measures(tracks, MTL)
    for name, onto, back, slope in (
        ("ccc_arousal", np.arctanh, np.tanh, fisher_slope),
        ("f1_AU4", special.logit, special.expit, logit_slope),
    ):
        left = np.array([found[name] for found in without])
        centre = 6 * whole[name] - 5 * left.mean()
        error = np.sqrt(5 / 6 * ((left - left.mean()) ** 2).sum())
        squares = (left - left.mean()) ** 2
        freedom = max(squares.sum() ** 2 / (squares**2).sum(), 1.0)
        half = stats.t.ppf(0.975, freedom) * error * slope(centre)
        found = measures[name]
        assert (found.low, found.high) == pytest.approx((back(onto(centre) - half), back(onto(centre) + half)))
        assert found.low is not None
        assert -1 < found.low < found.value < 1


def test_a_constant_has_no_concordance_and_always_active_units_are_the_best_constant() -> None:
    values = evaluate(scored_tracks(VA), VA)
    assert values.constant_score == pytest.approx(0.0, abs=1e-9)
    tracks = scored_tracks(AU)
    always = [replace(one, answers=np.ones_like(one.answers)) for one in tracks]
    assert evaluate(tracks, AU).constant_score == pytest.approx(independent_measures(always, AU)["unit_f1"])


def test_a_negative_concordance_is_told_with_its_interval() -> None:
    tracks = [replace(one, answers=-one.answers) for one in scored_tracks(VA)]
    result = evaluate(tracks, VA)
    measure = result.all_labelled.measures["ccc_valence"]
    assert measure.low is not None
    assert -1 < measure.low < measure.value < 0
    assert any(line.startswith("valence") and "  -." in line for line in describe(result))


def test_units_that_are_never_active_are_in_the_score_but_not_in_the_supported_one() -> None:
    tracks = scored_tracks(AU, missing=0.0)
    labels = [np.concatenate([np.zeros((len(one.labels), 1), np.int8), one.labels[:, 1:]], axis=1) for one in tracks]
    tracks = [replace(one, labels=own) for one, own in zip(tracks, labels, strict=True)]
    result = evaluate(tracks, AU)
    assert result.supported == AU.columns[1:]
    found = independent_measures(tracks, AU)
    f1 = [found[f"f1_{name}"] for name in AU.columns]
    assert result.all_labelled.usual_score.value == pytest.approx(np.mean(f1))
    assert result.all_labelled.supported_score.value == pytest.approx(np.mean(f1[1:]))
    assert any(line.startswith("  over 11 supported units  ") for line in describe(result))


def test_all_tasks_without_a_label_of_one_are_scored_by_the_others() -> None:
    tracks = scored_tracks(MTL)
    for one in tracks:
        one.labels[:, 2] = -1
    result = evaluate(tracks, MTL)
    found = result.all_labelled
    assert found.measures["macro_f1"].value == 0.0
    assert np.isfinite(found.supported_score.value)
    assert [track.measures.get("macro_f1") for track in result.tracks] == [None] * len(tracks)


@each
def test_a_track_is_scored_over_the_columns_it_has(challenge: Challenge) -> None:
    tracks = scored_tracks(challenge, count=2)
    report = evaluate(tracks, challenge).tracks[0]
    alone = independent_measures(tracks[:1], challenge)
    assert 0 < (report.nearness or 0) <= 1
    if "unit_f1" in report.measures:
        active = [name for name in AU.columns if (pooled(tracks[:1], challenge, name)[0] == 1).any()]
        assert report.measures["unit_f1"] == pytest.approx(np.mean([alone[f"f1_{name}"] for name in active]))
    for name in ("ccc_valence", "rmse_arousal"):
        assert report.measures.get(name) == (pytest.approx(alone[name]) if name in alone else None)


def test_a_split_nobody_labelled_cannot_be_scored() -> None:
    tracks = [replace(one, labels=np.full_like(one.labels, -5.0)) for one in scored_tracks(VA, count=2)]
    with pytest.raises(DataError, match="nothing to score"):
        evaluate(tracks, VA)


def quick_values(tracks: int = 8, rows: int = 300) -> list[NDArray[np.float64]]:
    generator = np.random.default_rng(3)
    return [generator.uniform(-1, 1, (rows, 2)).round(3) for _ in range(tracks)]


@pytest.mark.parametrize("shift", [-2, 0, 1])
def test_values_that_are_frames_late_fit_best_at_that_shift(shift: int) -> None:
    faces = np.ones(300, bool)
    tracks = [ScoredTrack(f"v{k}", f"v{k}", one, np.roll(one, shift, axis=0), faces) for k, one in enumerate(quick_values())]
    result = score_shifts(tracks, VA)
    assert (result.best, result.suspicious) == (shift, shift != 0)
    assert evaluate(tracks, VA).shifts == result


def test_values_that_lag_by_more_than_is_tried_accuse_no_image() -> None:
    generator = np.random.default_rng(0)
    truth = [moving(VA, 400, generator) for _ in range(8)]
    tracks = [ScoredTrack(f"v{k}", f"v{k}", np.roll(one, 12, axis=0), one, np.ones(400, bool)) for k, one in enumerate(truth)]
    result = evaluate(tracks, VA)
    assert result.shifts is not None
    assert (result.shifts.best, result.shifts.delayed, result.shifts.suspicious) == (-3, True, False)
    assert "lag behind" in "\n".join(describe(result))


def test_frames_that_do_not_follow_one_another_are_not_shifted() -> None:
    result = evaluate(scored_tracks(MTL), MTL)
    assert result.shifts is None
    assert describe(result)[-1].startswith("shifted labels are not looked for")


@each
def test_the_p_value_of_every_part_agrees_with_trying_every_swap(challenge: Challenge) -> None:
    parts, score = parts_of(challenge), usual_score(challenge)
    first, second = scored_tracks(challenge, count=6), scored_tracks(challenge, count=6)
    second = [
        replace(one, answers=other.answers) for one, other in zip(second, scored_tracks(challenge, 6, noise=0.6), strict=True)
    ]
    at_least = dict.fromkeys(["score", *(name for _, name in score.parts), *(measure.name for measure in parts.judged_by)], 0)
    asked = list(at_least)
    observed: dict[str, float] = {}
    for swaps in itertools.product((False, True), repeat=6):
        one = [b if swap else a for a, b, swap in zip(first, second, swaps, strict=True)]
        other = [a if swap else b for a, b, swap in zip(first, second, swaps, strict=True)]
        pair = [np.sum([track.sums(parts) for track in tracks], axis=0) for tracks in (one, other)]
        before, after = ({name: float(parts.measure(sums, name)) for name in asked[1:]} for sums in pair)
        change = {name: after[name] - before[name] for name in asked[1:]}
        change["score"] = sum(weight * change[name] for weight, name in score.parts)
        observed = observed or change
        for name in asked:
            at_least[name] += abs(change[name]) >= abs(observed[name]) - 1e-12
    sums = [np.stack([track.sums(parts) for track in tracks]) for tracks in (first, second)]
    result = compare(sums[0], sums[1], parts, score)
    assert result.difference == pytest.approx(observed["score"])
    assert result.p_value == pytest.approx(at_least["score"] / 64)
    names = [measure.name for measure in parts.judged_by]
    np.testing.assert_allclose(result.column_difference, [observed[name] for name in names], atol=1e-12)
    raw = np.array([at_least[name] / 64 for name in names])
    order = np.argsort(raw[result.supported], kind="stable")
    stepped = np.minimum(1, np.maximum.accumulate(raw[result.supported][order] * np.arange(len(order), 0, -1)))
    np.testing.assert_allclose(result.column_p_value[result.supported][order], stepped)


@each
def test_the_interval_of_a_difference_comes_of_leaving_out_recordings(challenge: Challenge) -> None:
    parts, score = parts_of(challenge), usual_score(challenge)
    tracks = scored_tracks(challenge, count=5)
    other = [replace(one, answers=two.answers) for one, two in zip(tracks, scored_tracks(challenge, 5, noise=0.55), strict=True)]
    first, second = (np.stack([one.sums(parts) for one in each]) for each in (tracks, other))
    result = compare(first, second, parts, score)
    differences = np.array(
        [
            score_of(independent_measures([b for b in other if b is not other[k]], challenge), challenge)
            - score_of(independent_measures([a for a in tracks if a is not tracks[k]], challenge), challenge)
            for k in range(5)
        ]
    )
    by_hand = jackknife(np.stack([first, second], axis=1), lambda pair: np.diff(parts.score(pair, score), axis=-1)[..., 0])
    np.testing.assert_allclose(by_hand.without, differences, atol=1e-12)
    centre, error = float(by_hand.corrected), float(by_hand.standard_error)
    assert float(result.interval.high - result.interval.low) == pytest.approx(
        2 * error * stats.t.ppf(0.975, float(by_hand.degrees_of_freedom))
    )
    assert float(result.interval.high + result.interval.low) / 2 == pytest.approx(centre)


@each
def test_two_runs_are_compared_in_words_and_as_json(challenge: Challenge) -> None:
    tracks = scored_tracks(challenge, count=12, noise=0.6)
    better = [replace(one, answers=two.answers) for one, two in zip(tracks, scored_tracks(challenge, 12, noise=0.1), strict=True)]
    result = compare_runs(Scored("poor", challenge, tracks), [Scored("good", challenge, better)])
    assert result.others[0].verdict == "good is better than poor"
    lines = describe_comparison(result)
    assert all(any(column in line for line in lines) for column in parts_of(challenge).columns)
    value = comparison_as_stored(result)
    assert value["columns"] == list(parts_of(challenge).columns)
    assert value["score_name"] == str(usual_score(challenge))
    assert value["others"][0]["comparison"]["difference"] == result.others[0].comparison.difference
    json_text(value)


def test_predictions_of_other_labels_are_not_compared() -> None:
    first, second = scored_tracks(VA, seed=1), scored_tracks(VA, seed=2)
    with pytest.raises(MismatchError, match="other tracks or labels"):
        compare_runs(Scored("a", VA, first), [Scored("b", VA, second)])
    parts = parts_of(VA)
    sums = [sums_by_recording(Scored("a", VA, tracks))[1] for tracks in (first, second)]
    with pytest.raises(ValueError, match="same labels"):
        compare(sums[0], sums[1], parts, usual_score(VA))
    with pytest.raises(MismatchError, match="different classes, units or values"):
        compare_runs(Scored("a", VA, first), [Scored("b", AU, scored_tracks(AU))])


@each
def test_an_evaluation_is_stored_and_told_whole(challenge: Challenge) -> None:
    result = evaluate(scored_tracks(challenge), challenge)
    value = as_stored(result, result, {"seconds": 1.0})
    json_text(value)
    assert value["score_without_smoothing"] == value["all_labelled"]["usual_score"]
    assert value["columns"] == list(parts_of(challenge).columns)
    lines = describe(result, result)
    assert all(any(line.startswith(column) for line in lines) for column in parts_of(challenge).columns)
    assert len(track_table(result)) == 1 + len(result.tracks)
    usual = {"VA": "mean CCC", "AU": "mean F1 of the units", "MTL": "score of all tasks"}[challenge.name]
    of_terms = {
        "VA": ["CCC of valence", "CCC of arousal"],
        "AU": [],
        "MTL": ["CCC of valence", "CCC of arousal", "macro-F1", "unit F1"],
    }[challenge.name]
    influential = [line for line in lines if line.startswith("most influential recordings for the ")]
    assert influential == [f"most influential recordings for the {words}:" for words in (usual, *of_terms)]


def test_of_units_a_track_is_told_by_the_measures_of_all_of_them() -> None:
    result = evaluate(scored_tracks(AU, count=3), AU)
    head, *lines = track_table(result)
    assert head.split("with face")[1].split() == ["unit", "accuracy", "unit", "F1"]
    for line, track in zip(lines, result.tracks, strict=True):
        shown = [float(word) for word in line.split()[-2:]]
        assert shown == pytest.approx([track.measures["unit_accuracy"], track.measures["unit_f1"]], abs=5e-4)


def test_predictions_of_a_single_unit_are_compared_like_those_of_many() -> None:
    """Nothing is asked of a second column."""
    one = Challenge("AU", (), ("AU12",), -1, tuple(field for field in AU.fields if field.name == "AU12"))
    tracks, better = (scored_tracks(one, count=12, noise=noise) for noise in (0.6, 0.1))
    pair = [replace(track, answers=other.answers) for track, other in zip(tracks, better, strict=True)]
    result = compare_runs(Scored("poor", one, tracks), [Scored("good", one, pair)])
    (row,) = [line for line in describe_comparison(result) if line.startswith("AU12")]
    f1 = [metrics.f1_score(*pooled(each, one, "AU12")) for each in (flat(tracks), flat(pair))]
    assert [float(word) for word in row.split()[1:3]] == pytest.approx(f1, abs=5e-4)


def flat(tracks: list[ScoredTrack]) -> list[ScoredTrack]:
    """Labels and answers with an axis for the one field."""
    return [replace(one, labels=one.labels[:, None], answers=one.answers[:, None]) for one in tracks]
