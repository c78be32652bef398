"""Where two unimodal models disagree, what a fused model makes of it, and what the best choice could reach.

Every function takes predictions over the same clips and classes in the same order:
`avfusion.analysis.variant_answers.align` makes them so. "Conflict" is the share of clips that exactly one of the two
models gets right. Two models that answer five clips, and the clips that only one of them gets right:

>>> import numpy as np
>>> from avfusion.scoring.predictions import Predictions
>>> clips, truth = ["a", "b", "c", "d", "e"], np.array([0, 0, 1, 1, 1])
>>> def deciding(*decisions):
...     return Predictions.from_scores(clips, ["bus", "park"], truth, np.eye(2)[list(decisions)])
>>> audio, video = deciding(0, 0, 1, 0, 0), deciding(1, 0, 1, 1, 0)
>>> overall_cells(audio, video)["clips"].to_dict()
{'both': 2, 'only_audio': 1, 'only_video': 1, 'neither': 1}
>>> cell_table(audio, video)["conflict"].round(3).to_dict()
{'bus': 0.5, 'park': 0.333}
>>> conflict_clips(audio, video)["id"].tolist()
['a', 'd']
>>> oracle_accuracy(audio, video)
0.8
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from avfusion.errors import unknown
from avfusion.scoring.metrics import accuracy, confusion, log_loss, row_normalised
from avfusion.scoring.predictions import Predictions

CELLS = ("both", "only_audio", "only_video", "neither")
"""Who is right about a clip, in the order of the indices that `cells` gives."""

ALL = "all classes"
"""Row of a table that stands for the clips of all classes."""

ORACLE = "oracle"
"""Who always picks a model that is right, where there is one."""

FLOOR = 1e-4
"""Floor of a probability before sets are combined."""


def cells(audio: Predictions, video: Predictions) -> NDArray[np.int64]:
    """[N] index into `CELLS`: who is right about each clip."""
    return 2 * (~audio.right).astype(np.int64) + ~video.right


def cell_table(audio: Predictions, video: Predictions) -> pd.DataFrame:
    """Per class, the numbers of clips in the four cells, clips in all, and the conflict in [0, 1].

    Ranked: the class of most conflict first, ties in class order. A class without clips has conflict 0. The
    row of all classes together is `overall_cells`.
    """
    n_classes = len(audio.classes)
    counts = np.zeros((n_classes, len(CELLS)), dtype=np.int64)
    np.add.at(counts, (audio.labels, cells(audio, video)), 1)
    table = pd.DataFrame(counts, columns=list(CELLS), index=pd.Index(audio.classes, name="class"))
    table["clips"] = counts.sum(axis=1)
    table["conflict"] = (table["only_audio"] + table["only_video"]) / table["clips"].clip(lower=1)
    return table.sort_values("conflict", ascending=False, kind="stable")


def overall_cells(audio: Predictions, video: Predictions) -> pd.DataFrame:
    """Over all clips, one row per cell: clips (they sum to N) and share (they sum to 1)."""
    clips = np.bincount(cells(audio, video), minlength=len(CELLS))
    return pd.DataFrame({"clips": clips, "share": clips / len(audio)}, index=pd.Index(CELLS, name="cell"))


def error_distribution(predictions: Predictions, true_class: str) -> pd.DataFrame:
    """Of the clips of `true_class` that the model gets wrong: clips and share per predicted class.

    Most frequent first, ties in class order; classes never predicted are left out, and the shares of a class
    without errors are an empty table. (Tables 3 and 4 of the study.)
    """
    if true_class not in predictions.classes:
        raise unknown("class", true_class, list(predictions.classes))
    row = confusion(predictions)[predictions.classes.index(true_class)]
    row[predictions.classes.index(true_class)] = 0
    table = pd.DataFrame({"clips": row}, index=pd.Index(predictions.classes, name="predicted"))
    table["share"] = table["clips"] / max(int(row.sum()), 1)
    return table[table["clips"] > 0].sort_values("clips", ascending=False, kind="stable")


def confusion_shift(first: Predictions, second: Predictions) -> NDArray[np.float64]:
    """[C, C] row-normalised confusion of `first` minus that of `second`, in [-1, 1]."""
    return row_normalised(confusion(first)) - row_normalised(confusion(second))


def oracle_accuracy(*models: Predictions) -> float:
    """Accuracy of always picking a model that is right where there is one: no choice among them is better."""
    return float(np.any([model.right for model in models], axis=0).mean())


def rescues_and_harms(audio: Predictions, video: Predictions, fused: Predictions) -> pd.DataFrame:
    """Per class and over all clips (the last row, `ALL`), what fusion wins and loses against each modality alone.

    A *rescue* over a modality is a clip that the fused model gets right and that modality wrong; a *harm* is
    the reverse. Rescues minus harms, over the clips, is therefore the gain in accuracy over that modality.
    Columns: clips, rescues_over_audio, harms_over_audio, rescues_over_video, harms_over_video (clips).
    """
    columns: dict[str, NDArray[np.bool_]] = {"clips": np.ones(len(fused), dtype=bool)}
    for name, modality in (("audio", audio), ("video", video)):
        columns[f"rescues_over_{name}"] = fused.right & ~modality.right
        columns[f"harms_over_{name}"] = ~fused.right & modality.right
    return _per_class_sums(fused, columns)


def fused_in_cells(audio: Predictions, video: Predictions, fused: Predictions) -> pd.DataFrame:
    """Per class and over all clips (the last row, `ALL`), how the fused model fares within each of the four cells.

    For each cell the columns `<cell>_clips`, `<cell>_fused_right` (clips) and `<cell>_fused_accuracy`, which is
    NaN where the cell has no clip.
    """
    cell = cells(audio, video)
    columns: dict[str, NDArray[np.bool_]] = {}
    for index, name in enumerate(CELLS):
        columns[f"{name}_clips"] = cell == index
        columns[f"{name}_fused_right"] = (cell == index) & fused.right
    table = _per_class_sums(fused, columns)
    for name in CELLS:
        clips = table[f"{name}_clips"]
        table[f"{name}_fused_accuracy"] = table[f"{name}_fused_right"] / clips.where(clips > 0)
    return table


def conflict_clips(
    audio: Predictions, video: Predictions, paths: Mapping[str, tuple[str, str]] | None = None
) -> pd.DataFrame:
    """The clips that exactly one model gets right, in the order of the predictions.

    Columns: id, truth, audio and video (what each answered), right ("audio" or "video") and, given `paths`
    (clip id to its sound file and its picture file), audio_path and video_path.
    """
    rows = np.flatnonzero(audio.right != video.right)
    names = np.array(audio.classes)
    table = pd.DataFrame(
        {
            "id": [audio.ids[row] for row in rows],
            "truth": names[audio.labels[rows]],
            "audio": names[audio.decisions[rows]],
            "video": names[video.decisions[rows]],
            "right": np.where(audio.right[rows], "audio", "video"),
        }
    )
    if paths is not None:
        for position, name in enumerate(("audio_path", "video_path")):
            table[name] = [paths.get(clip, ("", ""))[position] for clip in table["id"]]
    return table


def _per_class_sums(predictions: Predictions, columns: Mapping[str, NDArray[np.bool_]]) -> pd.DataFrame:
    table = pd.DataFrame(columns).groupby(predictions.labels).sum()
    table = table.reindex(range(len(predictions.classes)), fill_value=0).astype(np.int64)
    table.index = pd.Index(predictions.classes)
    # Appended, not assigned: a class may be called so too.
    return pd.concat([table, table.sum().to_frame(ALL).T]).rename_axis("class")


COMBINATIONS: dict[str, Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]] = {
    "mean": lambda audio, video: (audio + video) / 2,
    "maximum": np.maximum,
    "product": np.multiply,
}
"""Rules that combine two sets of probabilities [N, C] without training."""


def combine(audio: Predictions, video: Predictions, rule: str, floor: float = FLOOR) -> Predictions:
    """The two models combined by a rule of `COMBINATIONS`, decided by argmax.

    Probabilities (of a file, those it printed) are raised to `floor`, combined, and the result normalised.
    """
    if rule not in COMBINATIONS:
        raise unknown("rule of combination", rule, list(COMBINATIONS))
    given = (p.probabilities if p.as_read is None else p.as_read for p in (audio, video))
    scores = COMBINATIONS[rule](*(np.maximum(probabilities, floor) for probabilities in given))
    return Predictions(
        ids=audio.ids,
        classes=audio.classes,
        labels=audio.labels,
        probabilities=scores / scores.sum(axis=1, keepdims=True),
        decisions=scores.argmax(axis=1),
        notes=(*audio.notes, *video.notes, f"{rule} of the two, floor {floor:g}"),
    )


def scores(models: Mapping[str, Predictions]) -> pd.DataFrame:
    """Accuracy and log loss of each model, of each rule of `COMBINATIONS`, and of the oracle, which has no log loss.

    `models` has the keys audio, video and perhaps fused; they and the rules, and `ORACLE`, are the index.
    """
    audio, video = models["audio"], models["video"]
    sets = {**models, **{rule: combine(audio, video, rule) for rule in COMBINATIONS}}
    rows = {name: {"accuracy": accuracy(answers), "log_loss": log_loss(answers)} for name, answers in sets.items()}
    rows[ORACLE] = {"accuracy": oracle_accuracy(audio, video)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def ranked_cells(audio: Predictions, video: Predictions) -> pd.DataFrame:
    """`cell_table` with each class's rank by conflict (1: most), and below it all classes together, without a rank."""
    table = cell_table(audio, video)
    counts = table.drop(columns="conflict").sum()
    conflict = (counts["only_audio"] + counts["only_video"]) / counts["clips"]
    total = pd.DataFrame([{"class": ALL, **counts.to_dict(), "conflict": conflict}])
    ranked = pd.concat([table.reset_index(), total], ignore_index=True)
    ranked.insert(1, "rank", pd.Series([*range(1, len(table) + 1), None], dtype="Int64"))
    return ranked


def error_table(predictions: Predictions) -> pd.DataFrame:
    """For each true class, what the model answers where it is wrong: clips and share of the class's errors."""
    tables = [
        error_distribution(predictions, scene).reset_index().assign(true_class=scene) for scene in predictions.classes
    ]
    return pd.concat(tables, ignore_index=True)[["true_class", "predicted", "clips", "share"]]
