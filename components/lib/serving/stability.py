"""How far what is served has moved from what was trained on: the population stability index."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

TENTHS = 10
# The 95 % quantiles of the chi-square distribution with 1 to 9 degrees of freedom.
_CHI_SQUARE = (3.841, 5.991, 7.815, 9.488, 11.070, 12.592, 14.067, 15.507, 16.919)


def tenths_of(counts: Mapping[str, int]) -> dict[str, int]:
    """For each item its tenth of the training data, 1 to 10, by how often it occurs there.

    The most frequent items, which make up the first tenth of all occurrences, are in tenth 1, and
    so on to the rarest in tenth 10; equally frequent ones stand in the order of their names. An item
    that makes up more than a tenth by itself leaves the tenths after its own empty.
    """
    total = sum(counts.values())
    tenths, before = {}, 0
    for item, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        tenths[item] = min(TENTHS * before // total + 1, TENTHS) if total else TENTHS
        before += count
    return tenths


def stability_index(expected: Sequence[int], actual: Sequence[int]) -> float:
    """The population stability index of two counts over the same groups.

    With e and a the shares of a group, it is the sum over the groups of (a - e) * ln(a / e). It is 0
    for equal shares and grows without bound. Usual reading: below 0.1 no change to speak of, to
    0.25 some change, above that a shift that asks for action (E. M. Lewis, An Introduction to
    Credit Scoring, 1994; N. Siddiqi, Credit Risk Scorecards, 2006). Groups that are empty in
    `expected` are left out; half an occurrence is added to each group of `actual`, so that an empty
    one counts as rare and not as impossible.
    """
    groups = [(e, a + 0.5) for e, a in zip(expected, actual, strict=True) if e]
    of_all_e, of_all_a = sum(e for e, _ in groups), sum(a for _, a in groups)
    shares = [(e / of_all_e, a / of_all_a) for e, a in groups]
    return sum((a - e) * math.log(a / e) for e, a in shares)


def index_by_chance(expected: Sequence[int], size: int) -> float:
    """The index that a sample of this size, drawn from the training data itself, exceeds 1 time in 20.

    Without a shift, the index over B groups is distributed about like chi-square with B - 1 degrees
    of freedom times (1 / size of the one + 1 / size of the other) (B. Yurdakul and J. Naranjo,
    Statistical properties of the population stability index, Journal of Risk Model Validation
    14(4), 2020). 0 for less than two groups.
    """
    groups = sum(1 for count in expected if count)
    if groups < 2:
        return 0.0
    return _CHI_SQUARE[groups - 2] * (1 / size + 1 / sum(expected))
