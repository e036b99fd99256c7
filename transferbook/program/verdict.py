"""What the counts of a test say of a classifier, in sentences that somebody can act on."""

from __future__ import annotations

from collections.abc import Sequence

from transferbook.evidence import intervals
from transferbook.evidence.intervals import Interval

FEW = 30  # test examples of a class; with fewer, a share of them says little
NAMED = 5  # so many classes are named in a sentence


def recalls(right: Sequence[int], tested: Sequence[int]) -> dict[int, Interval]:
    """Of each class that was tested, the share that was found.

    Args:
        right: test examples of each class that it named rightly, C numbers.
        tested: test examples of each class.
    """
    rows = enumerate(zip(right, tested, strict=True))
    return {row: intervals.binomial(found, count) for row, (found, count) in rows if count}


def beats_one_answer(right: Sequence[int], tested: Sequence[int]) -> bool:
    """Whether a classifier is surely better than one that gives the same answer to everything.

    It is if its accuracy is surely above the share of the largest class, or if the share that it finds of a
    class, averaged over the k classes that were tested, is surely above the 1/k of one answer: a classifier
    that is made to find rare cases may be right less often than one that never names them.

    Args:
        right, tested: as for `recalls`.
    """
    if intervals.binomial(sum(right), sum(tested)).low > max(tested) / sum(tested):
        return True
    shares = list(recalls(right, tested).values())
    return intervals.weighted_sum(shares, [1 / len(shares)] * len(shares)).low > 1 / len(shares)


def sentences(classes: Sequence[str], right: Sequence[int], tested: Sequence[int]) -> list[str]:
    """The plain rival, whether it is beaten, the class that is found least often, and what has few examples.

    Where all examples are of one class there is no rival, and nothing is said of it.

    Args:
        classes: names, C of them.
        right, tested: as for `recalls`.
    """
    largest, shares = max(range(len(tested)), key=tested.__getitem__), recalls(right, tested)
    said = []
    if len(shares) > 1:
        most, base = classes[largest], tested[largest] / sum(tested)
        said.append(f'Always saying "{most}", the most frequent class, is right for {base:.3f} of these.')
        if not beats_one_answer(right, tested):
            said.append("It is not surely better than that: do not use it before more labels say otherwise.")
    worst = min(shares, key=lambda row: shares[row].mean)
    share = shares[worst]
    said.append(
        f'It finds "{classes[worst]}" least often: {right[worst]} of {tested[worst]}, '
        f"{share.mean:.2f} [{share.low:.2f}, {share.high:.2f}]."
    )
    few = [f'"{name}"' for name, count in zip(classes, tested, strict=True) if count < FEW]
    if few:
        more = f" and {len(few) - NAMED} more" * (len(few) > NAMED)
        said.append(
            f"Fewer than {FEW} of these are {', '.join(few[:NAMED])}{more}: little is known of these."
        )
    return said
