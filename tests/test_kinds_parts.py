"""Each challenge as its parts: sums that add up, and measures that agree with scikit-learn, SciPy and slow loops."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from harness.challenge import (
    AU,
    AU_8,
    CE,
    EXPR,
    EXPR_7,
    FORMATS,
    MTL,
    UNIT_F1_AND_ACCURACY,
    VA,
    Challenge,
)
from harness.errors import DataError, UsageError
from harness.kinds.confusion import confusion
from harness.kinds.part import ByHand
from harness.kinds.parts import parts_of

CHALLENGES = (EXPR, EXPR_7, VA, AU, AU_8, MTL, CE)
NAMES = ("EXPR", "EXPR of 7", "VA", "AU", "AU of 8", "MTL", "CE")
every_challenge = pytest.mark.parametrize("challenge", CHALLENGES, ids=NAMES)


def drawn(challenge: Challenge, rows: int, seed: int, missing: float = 0.3) -> tuple[NDArray, NDArray]:
    """Labels and answers (rows, fields) that go together half of the time; labels are missing field by field."""
    generator = np.random.default_rng(seed)

    def numbers() -> Iterator[NDArray[np.float64]]:
        for field in challenge.fields:
            whole = generator.integers(field.low, field.high + 1, rows).astype(np.float64)
            yield whole if field.kind != "real" else generator.uniform(field.low, field.high, rows).round(3)

    labels, answers = (np.stack(list(numbers()), axis=1) for _ in range(2))
    answers = np.where(generator.random(labels.shape) < 0.5, labels, answers)
    ignored = np.array([field.ignore for field in challenge.fields], dtype=np.float64)
    labels = np.where(generator.random(labels.shape) < missing, ignored, labels)
    if challenge.integral:
        return labels.astype(np.int8), answers.astype(np.int8)
    return labels, answers


def pair_of(challenge: Challenge, labels: NDArray, answers: NDArray, name: str) -> tuple[NDArray, NDArray]:
    """The labelled frames of one field."""
    index = [field.name for field in challenge.fields].index(name)
    kept = labels[:, index] != challenge.fields[index].ignore
    return labels[kept, index], answers[kept, index]


def f1_of(challenge: Challenge, labels: NDArray, answers: NDArray, unit: str) -> float:
    return float(metrics.f1_score(*pair_of(challenge, labels, answers, unit), labels=[1], average="macro", zero_division=0))


def slow_concordance(truth: NDArray, said: NDArray) -> float:
    """Lin's coefficient in two passes, number by number, in as many digits as the machine has."""
    if not len(truth):
        return 0.0
    y, x = ([np.longdouble(value) for value in values] for values in (truth, said))
    mean, own = sum(y) / len(y), sum(x) / len(x)
    covariance = sum((a - mean) * (b - own) for a, b in zip(y, x, strict=True)) / len(y)
    spread = (sum((a - mean) ** 2 for a in y) + sum((b - own) ** 2 for b in x)) / len(y)
    below = spread + (mean - own) ** 2
    return float(2 * covariance / below) if below else 0.0


def test_each_class_and_value_is_a_part_and_all_units_are_one() -> None:
    names = {challenge.name: [own.part.name for own in parts_of(challenge).placed] for challenge in (EXPR, VA, AU, MTL, CE)}
    assert names == {
        "EXPR": ["expression"],
        "VA": ["valence", "arousal"],
        "AU": ["units"],
        "MTL": ["valence", "arousal", "expression", "units"],
        "CE": ["expression"],
    }
    assert parts_of(EXPR).columns == EXPR.class_names
    assert parts_of(MTL).columns == ("valence", "arousal", *EXPR.class_names, *AU.columns)
    assert parts_of(MTL) is parts_of(MTL)


@every_challenge
def test_parts_lie_one_behind_the_other_without_a_gap(challenge: Challenge) -> None:
    parts = parts_of(challenge)
    widths = [(len(own.part.columns), len(own.part.fields), len(own.part.neutral), own.part.size) for own in parts.placed]
    for place, total in zip(range(4), map(sum, zip(*widths, strict=True)), strict=True):
        slices = [(own.columns, own.fields, own.adjustment, own.sums)[place] for own in parts.placed]
        assert np.concatenate([np.arange(total)[one] for one in slices]).tolist() == list(range(total))


@every_challenge
@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(1, 5))
def test_the_sums_of_the_whole_are_the_sum_of_the_sums_of_its_recordings(
    challenge: Challenge, seed: int, rows: int, recordings: int
) -> None:
    parts = parts_of(challenge)
    labels, answers = drawn(challenge, rows, seed)
    owner = np.random.default_rng(seed).integers(0, recordings, rows)
    each = np.stack([parts.sums(labels[owner == one], answers[owner == one]) for one in range(recordings)])
    whole = parts.sums(labels, answers)
    assert whole.shape == (parts.size,)
    assert whole.dtype == (np.int64 if challenge.integral else np.float64)
    if challenge.integral:
        np.testing.assert_array_equal(each.sum(axis=0), whole)
    np.testing.assert_allclose(each.sum(axis=0), whole, rtol=1e-13, atol=1e-13)


@every_challenge
def test_the_measures_of_all_recordings_but_one_are_those_of_the_others_frames(challenge: Challenge) -> None:
    parts = parts_of(challenge)
    labels, answers = drawn(challenge, 700, seed=5)
    owner = np.random.default_rng(1).integers(0, 7, len(labels))
    each = np.stack([parts.sums(labels[owner == one], answers[owner == one]) for one in range(7)])
    without = each.sum(axis=0) - each
    for name, measure in parts.measures.items():
        of_all = measure.of(without)
        assert of_all.shape == (7,)
        for one in range(7):
            others = parts.sums(labels[owner != one], answers[owner != one])
            assert of_all[one] == pytest.approx(float(parts.measure(others, name)), abs=1e-12), name


@every_challenge
@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2, 50]), st.sampled_from([0.0, 0.4, 1.0]))
def test_measures_lie_between_their_bounds_and_nothing_scores_nothing(
    challenge: Challenge, seed: int, rows: int, missing: float
) -> None:
    parts = parts_of(challenge)
    sums = parts.sums(*drawn(challenge, rows, seed, missing))
    for name, measure in parts.measures.items():
        value = float(measure.of(sums))
        assert measure.low <= value <= measure.high, name
        assert value == 0 or rows, name


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 80))
def test_classes_are_scored_as_scikit_learn_scores_them(seed: int, rows: int) -> None:
    parts = parts_of(EXPR)
    labels, answers = drawn(EXPR, rows, seed)
    truth, said = pair_of(EXPR, labels, answers, "expression")
    sums = parts.sums(labels, answers)
    matrix = metrics.confusion_matrix(truth, said, labels=range(8)) if len(truth) else np.zeros((8, 8))
    np.testing.assert_array_equal(sums.reshape(8, 8), matrix)
    np.testing.assert_array_equal(sums, confusion(labels[:, 0], answers[:, 0], 8).reshape(-1))
    if len(truth):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            options = {"labels": range(8), "zero_division": 0}
            expected = metrics.precision_recall_fscore_support(truth, said, **options)
        for what, values in zip(("precision", "recall", "f1"), expected, strict=False):
            found = [float(parts.measure(sums, f"{what}_{name}")) for name in EXPR.class_names]
            np.testing.assert_allclose(found, values)
        assert float(parts.measure(sums, "macro_f1")) == pytest.approx(expected[2].mean())
        assert float(parts.measure(sums, "accuracy")) == pytest.approx(metrics.accuracy_score(truth, said))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 80))
def test_units_are_scored_as_scikit_learn_scores_them_each_on_its_own_labelled_frames(seed: int, rows: int) -> None:
    parts = parts_of(AU)
    labels, answers = drawn(AU, rows, seed)
    sums = parts.sums(labels, answers)
    pairs = [pair_of(AU, labels, answers, unit) for unit in AU.columns]
    expected = [metrics.confusion_matrix(*pair, labels=(0, 1)) if len(pair[0]) else np.zeros((2, 2)) for pair in pairs]
    np.testing.assert_array_equal(sums.reshape(12, 2, 2), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for unit, (truth, said) in zip(AU.columns, pairs, strict=True):
            if not len(truth):
                continue
            options = {"labels": [1], "average": "macro", "zero_division": 0}
            scores = {"f1": metrics.f1_score, "precision": metrics.precision_score, "recall": metrics.recall_score}
            for what, score in scores.items():
                assert float(parts.measure(sums, f"{what}_{unit}")) == pytest.approx(score(truth, said, **options))
            assert float(parts.measure(sums, f"accuracy_{unit}")) == pytest.approx(metrics.accuracy_score(truth, said))
            assert float(parts.measure(sums, f"prevalence_{unit}")) == pytest.approx(truth.mean())
        if all(len(truth) for truth, _ in pairs):
            mean = np.mean([f1_of(AU, labels, answers, unit) for unit in AU.columns])
            assert float(parts.measure(sums, "unit_f1")) == pytest.approx(mean)
            flat = np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])
            assert float(parts.measure(sums, "unit_accuracy")) == pytest.approx(metrics.accuracy_score(*flat))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(3, 80))
def test_values_are_scored_as_slow_loops_and_scipy_score_them(seed: int, rows: int) -> None:
    parts = parts_of(VA)
    labels, answers = drawn(VA, rows, seed)
    sums = parts.sums(labels, answers)
    for value in ("valence", "arousal"):
        truth, said = pair_of(VA, labels, answers, value)
        if len(truth) < 3:
            continue
        measured = {what: float(parts.measure(sums, f"{what}_{value}")) for what in ("ccc", "pearson", "rmse")}
        assert measured["ccc"] == pytest.approx(slow_concordance(truth, said), abs=1e-12)
        assert measured["pearson"] == pytest.approx(scipy.stats.pearsonr(truth, said).statistic, abs=1e-9)
        assert measured["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, said), abs=1e-7)
        error = float(parts.measure(sums, f"mean_absolute_error_{value}"))
        assert error == pytest.approx(metrics.mean_absolute_error(truth, said))
        pairs = zip(truth.tolist(), said.tolist(), strict=True)
        agree = sum((a > 0) == (b > 0) and (a < 0) == (b < 0) for a, b in pairs) / len(truth)
        assert float(parts.measure(sums, f"sign_agreement_{value}")) == pytest.approx(agree)


def test_the_errors_of_values_are_bounded_by_answers_that_are_exact_and_by_those_at_the_other_end() -> None:
    parts, ends = parts_of(VA), np.array([[-1.0, 1.0], [1.0, -1.0]])
    exact, opposite = parts.sums(ends, ends), parts.sums(ends, -ends)
    for what in ("rmse", "mean_absolute_error"):
        measure = parts.measures[f"{what}_arousal"]
        assert (float(measure.of(exact)), float(measure.of(opposite))) == (measure.low, measure.high) == (0.0, 2.0)


def test_a_multi_task_score_is_made_of_three_terms_each_over_its_own_labelled_frames() -> None:
    parts = parts_of(MTL)
    labels, answers = drawn(MTL, 400, seed=2)
    sums = parts.sums(labels, answers)
    ccc = np.mean([slow_concordance(*pair_of(MTL, labels, answers, value)) for value in ("valence", "arousal")])
    expression = metrics.f1_score(*pair_of(MTL, labels, answers, "expression"), labels=range(8), average="macro", zero_division=0)
    units = np.mean([f1_of(MTL, labels, answers, unit) for unit in AU.columns])
    (score,) = {form.score for form in FORMATS if form.challenge == MTL}
    assert float(parts.score(sums, score)) == pytest.approx(float(ccc + expression + units))
    assert parts.bounds(score) == (-1.0, 3.0)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_every_edition_ranks_by_measures_its_challenge_has(form: object) -> None:
    assert hasattr(form, "challenge")
    assert hasattr(form, "score")
    parts = parts_of(form.challenge)
    labels, answers = drawn(form.challenge, 50, seed=0, missing=0.0)
    perfect = parts.score(parts.sums(labels, labels), form.score)
    assert 0 < float(perfect) <= parts.bounds(form.score)[1] + 1e-12
    assert float(parts.score(parts.sums(labels, answers), form.score)) < float(perfect)


def test_a_measure_of_another_challenge_is_refused() -> None:
    parts = parts_of(EXPR)
    with pytest.raises(ValueError, match="EXPR do not say unit_f1"):
        parts.score(np.zeros(64, np.int64), UNIT_F1_AND_ACCURACY)


@every_challenge
def test_scores_of_swapped_and_stacked_recordings_are_made_at_once(challenge: Challenge) -> None:
    parts = parts_of(challenge)
    each = np.stack([parts.sums(*drawn(challenge, 40, seed)) for seed in range(6)]).reshape(2, 3, -1)
    score = next(form.score for form in FORMATS if form.challenge.name == challenge.name)
    at_once = parts.score(each, score)
    assert at_once.shape == (2, 3)
    for index in np.ndindex(2, 3):
        assert at_once[index] == pytest.approx(float(parts.score(each[index], score)), abs=1e-15)


@every_challenge
def test_what_sums_say_of_the_labels_depends_on_nothing_else(challenge: Challenge) -> None:
    parts = parts_of(challenge)
    labels, answers = drawn(challenge, 300, seed=4)
    one, other = parts.sums(labels, answers), parts.sums(labels, answers[::-1])
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(parts.label_sums(one), parts.label_sums(other))
    np.testing.assert_array_equal(parts.support(one), parts.support(other))
    np.testing.assert_array_equal(parts.prior(one), parts.prior(other))
    changed = labels.copy()
    changed[0] = [field.low if labels[0, index] != field.low else field.high for index, field in enumerate(challenge.fields)]
    assert not np.array_equal(parts.label_sums(parts.sums(changed, answers)), parts.label_sums(one))


def test_the_prior_is_class_shares_shares_of_active_frames_and_means() -> None:
    parts = parts_of(MTL)
    labels, answers = drawn(MTL, 500, seed=9)
    prior = parts.prior(parts.sums(labels, answers))
    expected = [pair_of(MTL, labels, answers, value)[0].mean() for value in ("valence", "arousal")]
    truth = pair_of(MTL, labels, answers, "expression")[0]
    expected += [float((truth == c).mean()) for c in range(8)]
    expected += [pair_of(MTL, labels, answers, unit)[0].mean() for unit in AU.columns]
    np.testing.assert_allclose(prior, expected, atol=1e-12)


def test_without_any_label_the_prior_prefers_nothing() -> None:
    prior = parts_of(MTL).prior(np.zeros(parts_of(MTL).size))
    assert prior.tolist() == [0.0, 0.0, *[1 / 8] * 8, *[0.5] * 12]


def test_columns_are_judged_by_frames_that_speak_for_them() -> None:
    parts = parts_of(AU)
    labels = np.zeros((100, 12), np.int8)
    labels[:9, 0], labels[:10, 1], labels[:91, 2] = 1, 1, 1
    labels[50:, 3], labels[:50, 3] = -1, 1
    sums = parts.sums(labels, np.zeros_like(labels))
    assert parts.support(sums)[:5].tolist() == [9, 10, 9, 0, 0]
    assert np.flatnonzero(parts.supported(sums)).tolist() == [1]
    frames = parts_of(EXPR).supported(np.diag([20, 9, 10, 0, 0, 0, 0, 300]).reshape(-1))
    assert frames.tolist() == [True, False, True, False, False, False, False, True]


def test_pooled_measures_can_leave_out_what_cannot_be_judged() -> None:
    labels, answers = drawn(MTL, 300, seed=6)
    whole = parts_of(MTL)
    judged = np.ones(len(whole.columns), bool)
    judged[[whole.columns.index(name) for name in ("Fear", "Other", "AU15")]] = False
    sums, some = whole.sums(labels, answers), whole.judging(judged)
    classes = [float(whole.measure(sums, f"f1_{name}")) for name in EXPR.class_names if name not in ("Fear", "Other")]
    units = [float(whole.measure(sums, f"f1_{name}")) for name in AU.columns if name != "AU15"]
    assert float(some.measure(sums, "macro_f1")) == pytest.approx(np.mean(classes))
    assert float(some.measure(sums, "unit_f1")) == pytest.approx(np.mean(units))
    assert float(some.measure(sums, "ccc_valence")) == float(whole.measure(sums, "ccc_valence"))
    assert float(some.measure(sums, "f1_Fear")) == float(whole.measure(sums, "f1_Fear"))
    np.testing.assert_array_equal(some.sums(labels, answers), sums)
    everything = whole.judging(np.ones(len(whole.columns), bool))
    assert float(everything.measure(sums, "macro_f1")) == float(whole.measure(sums, "macro_f1"))


def test_frames_are_counted_by_class_active_unit_and_fifth_of_the_range() -> None:
    parts = parts_of(MTL)
    labels = np.array(
        [[-1, 1, 3, *[0] * 12], [-0.6, -5, -1, *[1] * 12], [0.59, 0.2, 3, *[-1] * 12], [1, 0, 0, 1, *[-1] * 11]], dtype=np.float64
    )
    counts = dict(zip(parts.strata, parts.count(labels).tolist(), strict=True))
    assert [counts[f"valence {part}"] for part in ("-1 to -0.6", "-0.6 to -0.2", "0.2 to 0.6", "0.6 to 1")] == [1, 1, 1, 1]
    assert counts["arousal -0.2 to 0.2"] + counts["arousal 0.2 to 0.6"] + counts["arousal 0.6 to 1"] == 3
    assert (counts["Neutral"], counts["Fear"], counts["Disgust"]) == (1, 2, 0)
    assert (counts["AU1"], counts["AU2"]) == (2, 1)


@every_challenge
def test_outputs_become_what_scipy_makes_of_them_and_answers_what_the_table_says(challenge: Challenge) -> None:
    parts = parts_of(challenge)
    scores = np.random.default_rng(3).normal(0, 2, (60, len(parts.columns)))
    values = parts.activate(scores)
    answers = parts.decode(values)
    assert answers.shape == (60, len(challenge.fields))
    assert answers.dtype == (np.int8 if challenge.integral else np.float64)
    field = 0
    for own in parts.placed:
        one, activated = scores[:, own.columns], values[:, own.columns]
        kind = own.part.fields[0].kind
        expected = {"class": scipy.special.softmax(one, axis=1), "unit": scipy.special.expit(one), "real": np.tanh(one)}[kind]
        np.testing.assert_allclose(activated, expected, atol=1e-15)
        said = {"class": expected.argmax(axis=1)[:, None], "unit": expected > 0.5, "real": expected}[kind]
        np.testing.assert_allclose(answers[:, field : field + len(own.part.fields)], said, atol=1e-15)
        field += len(own.part.fields)


def test_adjustments_are_a_class_bias_thresholds_and_a_scale_with_a_shift() -> None:
    parts = parts_of(MTL)
    generator = np.random.default_rng(0)
    values = parts.activate(generator.normal(0, 1, (200, 22)))
    bias, thresholds = generator.normal(0, 1, 8), generator.uniform(0.1, 0.9, 12)
    odds = -np.log(thresholds / (1 - thresholds))
    answers = parts.decode(values, (1.5, 0.25, 0.5, 0.0, *bias, *odds))
    np.testing.assert_allclose(answers[:, 0], np.clip(1.5 * values[:, 0] + 0.25, -1, 1))
    np.testing.assert_allclose(answers[:, 1], 0.5 * values[:, 1])
    np.testing.assert_array_equal(answers[:, 2], (np.log(values[:, 2:10]) + bias).argmax(axis=1))
    np.testing.assert_array_equal(answers[:, 3:], values[:, 10:] > thresholds)
    np.testing.assert_array_equal(parts.decode(values, parts.neutral), parts.decode(values))


def test_answers_are_adjusted_by_hand_by_the_names_of_classes_units_and_values() -> None:
    parts = parts_of(MTL)
    values = parts.activate(np.random.default_rng(1).normal(0, 1, (200, 22)))
    tuned = (1.2, 0.3, 0.9, 0.0, *([0.5] * 8), *([1.0] * 12))
    adjustment = parts.adjusted(tuned, "class_bias", {"Fear": 2.0, "Neutral": -1.0})
    adjustment = parts.adjusted(adjustment, "threshold", {"AU1": 0.2, "AU26": 0.7})
    adjustment = parts.adjusted(parts.adjusted(adjustment, "scale", 0.5), "shift", {"arousal": -0.1})
    answers = parts.decode(values, adjustment)
    np.testing.assert_allclose(answers[:, :2], 0.5 * values[:, :2] + (0.3, -0.1))
    bias = np.array([-1.0, 0.5, 0.5, 2.0, 0.5, 0.5, 0.5, 0.5])
    np.testing.assert_array_equal(answers[:, 2], (np.log(values[:, 2:10]) + bias).argmax(axis=1))
    thresholds = np.array([0.2, *([1 / (1 + np.e)] * 10), 0.7])
    np.testing.assert_array_equal(answers[:, 3:], values[:, 10:] > thresholds)
    everywhere = parts_of(AU).adjusted((), "threshold", 0.35)
    np.testing.assert_array_equal(parts_of(AU).decode(values[:, 10:], everywhere), values[:, 10:] > 0.35)


@pytest.mark.parametrize(
    ("challenge", "setting", "numbers", "words"),
    [
        (VA, "threshold", 0.4, "VA has no threshold to set.*scale or shift$"),
        (AU, "threshold", {"AU3": 0.4}, "AU has no threshold of 'AU3'.*AU1"),
        (AU, "threshold", 1.0, "between 0 and 1"),
        (VA, "scale", {"valence": 0.0}, "above 0"),
        (EXPR, "class_bias", {"Fear": np.inf}, "not a finite number"),
        (EXPR, "class_bias", {"fear": 1.0}, "did you mean 'Fear'"),
    ],
)
def test_what_cannot_be_set_by_hand_is_refused(
    challenge: Challenge, setting: ByHand, numbers: float | dict[str, float], words: str
) -> None:
    with pytest.raises(UsageError) as refused:
        parts_of(challenge).adjusted((), setting, numbers)
    assert re.search(words, str(refused.value).replace("\n", " "))


@pytest.mark.parametrize("numbers", [(), (1.0, 0.0), (0.0,) * 25])
def test_adjustments_of_another_challenge_are_refused(numbers: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="adjusted by 24 numbers"):
        parts_of(MTL).decode(np.zeros((1, 22)), numbers)


def test_temperatures_are_the_parts_own_and_values_have_none() -> None:
    parts = parts_of(MTL)
    scores = np.random.default_rng(5).normal(0, 2, (30, 22))
    cooled = parts.activate(scores, (3.0, 1.0, 2.0, 0.5))
    np.testing.assert_allclose(cooled[:, :2], np.tanh(scores[:, :2]))
    np.testing.assert_allclose(cooled[:, 2:10], scipy.special.softmax(scores[:, 2:10] / 2, axis=1))
    np.testing.assert_allclose(cooled[:, 10:], scipy.special.expit(scores[:, 10:] * 2))
    np.testing.assert_allclose(parts.soften(parts.activate(scores), (1.0, 1.0, 2.0, 0.5)), cooled, atol=1e-6)
    np.testing.assert_array_equal(parts.soften(cooled), cooled)


def test_values_of_another_model_are_moved_into_the_range() -> None:
    assert parts_of(VA).soften([[1.25, -7.0]]).tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize("challenge", [VA, AU, MTL], ids=lambda one: one.name)
def test_numbers_that_are_none_are_refused(challenge: Challenge) -> None:
    parts = parts_of(challenge)
    for broken in (np.nan, np.inf):
        scores = np.zeros((3, len(parts.columns)))
        scores[1, -1] = broken
        with pytest.raises(DataError, match="not finite"):
            parts.activate(scores)
        with pytest.raises(DataError, match="not finite"):
            parts.decode(scores)


def test_rows_of_other_shapes_or_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="2 fields"):
        parts_of(VA).sums(np.zeros((4, 3)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="12 columns"):
        parts_of(AU).activate(np.zeros((4, 13)))
    with pytest.raises(ValueError, match="belong together"):
        parts_of(VA).sums(np.zeros((4, 2)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"arousal is outside -1\.\.1"):
        parts_of(VA).sums(np.zeros((1, 2)), np.array([[0.0, 1.5]]))
    with pytest.raises(ValueError, match="valence is outside"):
        parts_of(VA).sums(np.array([[np.nan, 0.0]]), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        parts_of(AU).sums(np.zeros((1, 12)), np.full((1, 12), 2))
    with pytest.raises(ValueError, match=r"outside 0\.\.7"):
        parts_of(EXPR).sums(np.array([8]), np.array([0]))


def test_labels_of_one_field_may_come_without_an_axis_for_it() -> None:
    labels, answers = drawn(EXPR, 50, seed=1)
    np.testing.assert_array_equal(parts_of(EXPR).sums(labels[:, 0], answers[:, 0]), parts_of(EXPR).sums(labels, answers))


def test_columns_of_several_kinds_are_called_in_a_row() -> None:
    called = [parts_of(challenge).called for challenge in (EXPR, VA, AU, MTL)]
    assert called == ["classes", "values", "units", "values, classes and units"]


def test_labels_may_be_given_as_a_list() -> None:
    # Frames of each class; -1 is no label.
    (own,) = parts_of(EXPR).placed
    assert own.part.count([0, 4, 4, -1, 7]).tolist() == [1, 0, 0, 0, 2, 0, 0, 1]
    values, labels = np.random.default_rng(0).dirichlet(np.ones(8), 5), np.array([0, 4, 4, -1, 7])
    assert own.part.fit_temperature(values, labels.tolist()) == own.part.fit_temperature(values, labels)


def test_a_unit_that_is_as_probable_as_not_is_not_active() -> None:
    values = np.repeat(np.nextafter(0.5, [0.0, 0.5, 1.0])[:, None], 12, axis=1)
    assert parts_of(AU).decode(values).tolist() == [[0] * 12, [0] * 12, [1] * 12]


def test_the_frames_of_units_are_those_of_the_unit_that_is_labelled_in_most() -> None:
    labels = np.full((5, 12), -1, np.int8)
    labels[:3, 0], labels[:, 1] = 0, [0, 1, 0, 1, 0]
    (own,) = parts_of(AU).placed
    assert own.part.frames(own.part.sums(labels, np.zeros_like(labels))) == 5
