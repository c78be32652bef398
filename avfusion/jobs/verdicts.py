"""What `compare` and `ensemble` say of variants side by side: scores with intervals, verdicts, and their limits."""

from collections.abc import Iterator

import pandas as pd

from avfusion.analysis.variant_answers import SideBySide
from avfusion.jobs.text_tables import text_table
from avfusion.report.cautions import cautions
from avfusion.report.comparison_page import HEADLINE, verdicts_in_words, with_interval
from avfusion.system.markdown import markdown


def score_lines(found: SideBySide, scores: pd.DataFrame) -> Iterator[str]:
    """For the terminal: on how many clips, and each variant's `scores` with intervals."""
    yield f"{len(found.first)} test clips at {len(found.locations)} locations; 95 % intervals"
    yield ""
    rows = []
    for variant in found.variants:
        of_it = scores[scores["variant"] == variant.name].set_index("score")
        known = of_it[["value", "low", "high"]].astype(float).T.to_dict("list")
        rows.append((variant.name, *(with_interval(*known[score]) for score in HEADLINE)))
    yield from text_table(pd.DataFrame(rows, columns=["", *HEADLINE.values()]))


def verdict_lines(pairs: pd.DataFrame) -> Iterator[str]:
    """For the terminal: a sentence for each verdict on the `pairs`."""
    for name, texts in verdicts_in_words(pairs).items():
        yield from (f"{name.capitalize()}: {text}." for text in texts)


def verdict_note(pairs: pd.DataFrame, found: SideBySide) -> str:
    """The verdicts on the `pairs` and what must stand beside them, as Markdown."""
    verdicts = [f"- {name}: {markdown(text)}" for name, texts in verdicts_in_words(pairs).items() for text in texts]
    return "\n".join([*verdicts, "", *map(markdown, cautions(found))])
