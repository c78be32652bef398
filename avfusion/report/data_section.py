"""What the data were, which models are here, and the network behind the features (Figure 1)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from avfusion.datasets.splits import assign_splits
from avfusion.features.provenance import dataset_in_words
from avfusion.figures.l3_net import l3_net
from avfusion.l3.presets import openl3_config
from avfusion.report import published
from avfusion.report.document import Picture, Section, Table, fact, label
from avfusion.report.material import Material

MOST_LOCATIONS = 150
"""More are counted and not named."""


def data_section(material: Material) -> Section:
    """Facts on the data and features, and the list of models."""
    answers = material.first
    facts = [
        ("answers from", material.source),
        *_features(material),
        ("classes", ", ".join(answers.classes)),
        ("test clips", str(len(answers))),
        ("test locations", _locations(material)),
        ("published values from", published.SOURCE),
        ("are these the study's data?", _same_data(material)),
    ]
    rows = tuple((label(name), fact(value)) for name, value in facts)
    models = tuple(
        (label(model.title), fact(model.origin), fact(len(model.seeds)), fact(model.remarks))
        for model in material.variants
    )
    return Section(
        "What the data were",
        (
            Table("Data", "data and features", ("", ""), rows, _location_names(material)),
            Table("Models", "models in this report", ("model", "from", "seeds", "remarks"), models),
            *material.remarks,
        ),
    )


def features_section() -> Section:
    """Figure 1, drawn from the network itself."""
    note = "Sizes are of the study's preset: mel256, embedding size 512. The pretext task needs no labels."
    picture = Picture("Figure 1", "L3-Net: does this sound belong to this picture?", l3_net(openl3_config()), (note,))
    return Section("The features", (picture,))


def _features(material: Material) -> tuple[tuple[str, str], ...]:
    """Names and values of what is known of the dataset and the features."""
    if material.features is None:
        known = ("dataset", "synthetic scenes", "embedder, trained?", "training and validation clips")
        return tuple((name, "not known: prediction files do not say") for name in known)
    features, provenance = material.features, material.features["provenance"]
    embedder = provenance["embedder"]
    n_training, n_validation = "not known: the feature store is no longer there", str(material.n_validation)
    if folds := material.variants[0].config.get("folds"):
        n_training = n_validation = f"others in each of {folds} folds, which test each clip once"
    elif material.store is not None:
        n_training = str(int((assign_splits(material.store.clips) == "train").sum()))
    halves = {"sound": embedder.get("audio"), "pictures": embedder.get("video")}  # of a pair
    return (
        ("dataset", dataset_in_words(provenance)),
        ("synthetic scenes", "yes" if material.synthetic else "no"),
        ("embedder", _in_words(embedder)),
        *((f"embedder of the {noun}", _in_words(half)) for noun, half in halves.items() if half is not None),
        ("embedder trained?", "yes" if embedder["trained"] else "no: its weights are random"),
        ("features", f"{Path(features['path']).name}, digest {features['digest'][:12]}"),
        ("training clips", n_training),
        ("validation clips", n_validation),
    )


def _in_words(embedder: Mapping[str, Any]) -> str:
    """The name of an embedder, and what else fixes its features; of a pair's halves it says nothing."""
    hidden = ("name", "trained", "audio", "video")
    shown = {key: value for key, value in embedder.items() if key not in hidden and value is not None}
    details = ", ".join(f"{key} {str(value)[:12]}" for key, value in shown.items())
    return f"{embedder['name']}" + (f" ({details})" if details else "")


def _locations(material: Material) -> str:
    if material.clip_locations is None:
        return "not known"
    answers = material.first
    names = material.clip_locations.in_order(answers.ids)
    by_class = [
        f"{scene} {len({names[row] for row in np.flatnonzero(answers.labels == label)})}"
        for label, scene in enumerate(answers.classes)
    ]
    return f"{len(set(names))}: {', '.join(by_class)}"


def _location_names(material: Material) -> tuple[str, ...]:
    """All of them, for a note below the table."""
    if material.clip_locations is None:
        return ()
    names = sorted(set(material.clip_locations.in_order(material.first.ids)))
    return (f"Test locations: {', '.join(names)}.",) if len(names) <= MOST_LOCATIONS else ()


def _same_data(material: Material) -> str:
    if material.not_tau:
        return "no: " + "; ".join(material.not_tau)
    if len(material.first) != published.TEST_CLIPS:
        return f"TAU's classes and names, but {len(material.first)} test clips; the study has {published.TEST_CLIPS}"
    return f"TAU's classes and names, and as many test clips as the study's ({published.TEST_CLIPS})"
