"""How much do few locations tell? Verdicts by the number of locations of each class, as `compare` gives them.

    python -m benchmarks.comparison.few          about three minutes

Ten classes with 1 to 12 locations of 10 clips each. Three things are counted of a hundred comparisons: how often two
models are told apart whose true scores differ by GAIN; how often two equal ones are; and how often two are that differ
only by collapses of one of them at 6 % of the locations, which the other makes up for elsewhere (see
`benchmarks.comparison.processes`).
"""

import argparse

import numpy as np

from avfusion.analysis.intervals import class_weights, draw_locations, estimate
from benchmarks.comparison.intervals import Scenario, simulate
from benchmarks.comparison.processes import PROCESSES, layout
from benchmarks.comparison.processes import simulate as simulate_process
from benchmarks.side_by_side import machine, print_table

COUNTS = (1, 2, 3, 4, 5, 8, 12)
GAIN = 0.2
"""By how much the better model's score is moved in every class: about five points of accuracy."""


def called(n_locations: int, what: str, comparisons: int, draws: int) -> float:
    """Of a hundred comparisons in accuracy how many get a verdict; `what` is `better` or a process."""
    locations, generator = layout([[10] * n_locations] * 10), np.random.default_rng(0)
    weights, told = class_weights(locations, equal=False), 0
    for number in range(comparisons):
        if what == "better":
            values = simulate(locations, Scenario(what, (GAIN,) * 10), generator)
        else:
            values = simulate_process(locations, PROCESSES[what], generator)
        told += (
            estimate(values["accuracy"], locations, weights, draw_locations(locations, draws, number)).p_value < 0.05
        )
    return 100 * told / comparisons


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--comparisons", type=int, default=500)
    parser.add_argument("--draws", type=int, default=999)
    given = parser.parse_args()
    columns = ("better", "exchangeable", "skewed")
    rows = [
        (str(count), *(f"{called(count, what, given.comparisons, given.draws):.1f}" for what in columns))
        for count in COUNTS
    ]
    title = f"verdicts of a hundred, accuracy; {given.comparisons} comparisons each; {machine()}"
    print_table(title, ("locations a class", "a true difference", "none", "none, skewed"), rows)


if __name__ == "__main__":
    main()
