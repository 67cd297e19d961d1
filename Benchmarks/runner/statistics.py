"""From samples to the figures of the table.

A sample is one measurement: `{"round", "measure", "peer", "value"}`. A ratio compares two samples of the
same round only, since the machine's speed changes from minute to minute.
"""

import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class Spread:
    low: float
    middle: float
    high: float

    @staticmethod
    def of(values):
        """The least, the median and the largest value; None without values."""
        values = list(values)
        if not values:
            return None
        return Spread(min(values), statistics.median(values), max(values))


def by_round(samples, measure, peer):
    """A peer's values of a measure, by round. A round that was measured twice counts once."""
    return {
        sample["round"]: sample["value"]
        for sample in samples
        if sample["measure"] == measure and sample["peer"] == peer
    }


def ratios(samples, measure, ours, theirs, larger_is_better):
    """How many times as good ours is as theirs, in each round that has both."""
    first, second = by_round(samples, measure, ours), by_round(samples, measure, theirs)
    return [
        first[number] / second[number] if larger_is_better else second[number] / first[number]
        for number in sorted(first.keys() & second.keys())
    ]
