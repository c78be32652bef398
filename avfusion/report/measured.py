"""What verdicts came to where the truth was known: figures of benchmarks/README.md that pages and terminals repeat.

Of a hundred comparisons, in simulations of `benchmarks.comparison`; a test holds these figures to the tables there.
"""

BY_LOCATIONS = {1: (0, 0), 2: (6, 8), 3: (22, 12), 4: (33, 9), 12: (86, 4)}
"""Locations of every class -> true differences of five points of accuracy that are told, and false verdicts where one
of two equal models fails at rare locations (`few`)."""

AT_RARE_LOCATIONS = {"TAU's test list": 6, "eight locations in each class": 8, "three": 17}
"""Test list -> false verdicts, the larger number of accuracy and log loss, where one of two equal models collapses at
rare locations and makes up for it elsewhere (`processes`, skewed)."""
