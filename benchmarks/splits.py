"""How much of a class is left for training by whole locations, over random layouts: with and without its own share.

Without it a draw looks at the aims of test and validation alone, and one large location may go to either of them.

    python -m benchmarks.splits
"""

import argparse
import warnings

import numpy as np
import pandas as pd

from avfusion.datasets import splits
from benchmarks.side_by_side import machine, print_table


def layout(generator: np.random.Generator) -> list[int]:
    """Clips at each of 3 to 20 locations of a class: from all alike to most clips at one location."""
    n_locations = int(generator.integers(3, 21))
    spread = generator.uniform(0, 2.5)
    sizes: list[int] = np.ceil(generator.lognormal(2.0, spread, n_locations)).astype(int).tolist()
    return sizes


def training_share(sizes: list[int], number: int, least: float) -> float:
    """Share of the clips that a draw leaves for training, where `least` is what training is to have."""
    places = np.repeat([f"{number}-{place}" for place in range(len(sizes))], sizes)
    clips = pd.DataFrame({"id": np.arange(len(places)).astype(str), "label": "a", "location": places, "split": ""})
    before, splits.TRAINING_SHARE = splits.TRAINING_SHARE, least
    try:
        return float((splits.assign_splits(clips) == "train").mean())
    finally:
        splits.TRAINING_SHARE = before


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--layouts", type=int, default=1000, help="random layouts of one class")
    layouts = parser.parse_args().layouts
    warnings.simplefilter("ignore")
    print(machine())
    generator = np.random.default_rng(0)
    drawn = [layout(generator) for _ in range(layouts)]
    possible = np.array([1 - sum(sorted(sizes)[:2]) / sum(sizes) for sizes in drawn])
    rows = []
    for name, least in (("without a share of its own", 0.0), (f"at least {splits.TRAINING_SHARE:.0%}", None)):
        wanted = splits.TRAINING_SHARE if least is None else least
        shares = np.array([training_share(sizes, number, wanted) for number, sizes in enumerate(drawn)])
        cells = [f"{value:.2f}" for value in np.quantile(shares, (0, 0.01, 0.05, 0.25, 0.5, 0.75, 1))]
        missed = (shares < np.minimum(splits.TRAINING_SHARE, possible) - 1e-12).sum()
        rows.append([name, *cells, str((shares < splits.TRAINING_SHARE).sum()), str(missed)])
    header = ["training", "least", "1 %", "5 %", "25 %", "median", "75 %", "most", "below 50 %", "though possible"]
    print_table(f"Share of a class's clips for training, {layouts} layouts", header, rows)


if __name__ == "__main__":
    main()
