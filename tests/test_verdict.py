"""What the counts of a test are said to show: the plain rival, whether it is beaten, the weakest class."""

from __future__ import annotations

import numpy as np
import pytest

from transferbook.evidence import intervals
from transferbook.program import verdict


@pytest.mark.parametrize(
    ("right", "tested", "beats"),
    [
        ([38, 8], [40, 20], True),  # in the mean over classes: 0.675 [0.57, 0.74] against 0.5
        ([39, 2], [40, 20], False),  # rather too often the larger class
        ([60, 11], [74, 14], True),  # right less often than one answer, and finds both classes
        ([74, 0], [74, 14], False),  # one answer
        ([63, 3], [74, 14], False),
        ([14, 14], [20, 20], True),  # 0.70 [0.55, 0.82] against 0.5
        ([12, 12], [20, 20], False),
        ([7, 0, 7], [10, 0, 10], False),  # a class that was not tested does not count: against 0.5
    ],
)
def test_one_answer_for_all_must_be_beaten_surely(right, tested, beats):
    assert verdict.beats_one_answer(right, tested) is beats


def test_one_answer_for_all_is_rarely_said_to_be_beaten_by_luck():
    """A classifier that guesses, whatever its favourite class, beats it in few of many tests."""
    generator = np.random.default_rng(0)
    for favourite in (0.5, 0.9):
        beaten = 0
        for _ in range(2_000):
            right = [generator.binomial(60, favourite), generator.binomial(20, 1 - favourite)]
            beaten += verdict.beats_one_answer([int(count) for count in right], [60, 20])
        assert beaten / 2_000 < 0.04  # 0.025, on one side of an interval of 95 %


def test_the_sentences_name_rival_weakest_class_and_few_examples():
    said = verdict.sentences(["good", "bad", "other"], [63, 3, 0], [74, 14, 0])
    assert said[0] == 'Always saying "good", the most frequent class, is right for 0.841 of these.'
    assert said[1].startswith("It is not surely better than that: do not use it")
    share = intervals.binomial(3, 14)
    assert said[2] == f'It finds "bad" least often: 3 of 14, 0.21 [{share.low:.2f}, {share.high:.2f}].'
    assert said[3] == 'Fewer than 30 of these are "bad", "other": little is known of these.'
    assert len(verdict.sentences(["good", "bad"], [60, 40], [70, 60])) == 2  # nothing to warn of
    many = verdict.sentences([*"abcdefg"], [5] * 7, [6] * 7)[-1]
    assert '"a", "b", "c", "d", "e" and 2 more: little' in many


def test_examples_of_one_class_have_no_rival():
    assert verdict.sentences(["good", "bad"], [0, 30], [0, 40]) == [
        'It finds "bad" least often: 30 of 40, 0.75 [0.60, 0.86].',
        'Fewer than 30 of these are "good": little is known of these.',
    ]
