"""What the data were, which models are here, and the network behind the features (Figure 1)."""

import numpy as np

from avfusion.figures.l3_net import l3_net
from avfusion.l3.presets import openl3_config
from avfusion.report import published
from avfusion.report.document import Picture, Section, Table, fact, label
from avfusion.report.material import Material

MOST_PLACES = 150
"""More are counted and not named."""


def data_section(material: Material) -> Section:
    """Facts on the data and features, and the list of models."""
    answers = material.first
    facts = [
        ("answers from", material.source),
        *material.facts,
        ("classes", ", ".join(answers.classes)),
        ("test clips", str(len(answers))),
        ("test places", _places(material)),
        ("published values from", published.SOURCE),
        ("are these the study's data?", _same_data(material)),
    ]
    rows = tuple((label(name), fact(value)) for name, value in facts)
    models = tuple(
        (label(model.title), fact(model.origin), fact(len(model.seeds)), fact(model.remarks))
        for model in material.models.values()
    )
    return Section(
        "What the data were",
        (
            Table("Data", "data and features", ("", ""), rows, _place_names(material)),
            Table("Models", "models in this report", ("model", "from", "seeds", "remarks"), models),
            *material.remarks,
        ),
    )


def features_section() -> Section:
    """Figure 1, drawn from the network itself."""
    note = "Sizes are of the study's preset: mel256, embedding size 512. The pretext task needs no labels."
    picture = Picture("Figure 1", "L3-Net: does this sound belong to this picture?", l3_net(openl3_config()), (note,))
    return Section("The features", (picture,))


def _places(material: Material) -> str:
    if material.locations is None:
        return "not known"
    answers = material.first
    names = [material.locations[clip] for clip in answers.ids]
    by_class = [
        f"{scene} {len({names[row] for row in np.flatnonzero(answers.labels == label)})}"
        for label, scene in enumerate(answers.classes)
    ]
    return f"{len(set(names))}: {', '.join(by_class)}"


def _place_names(material: Material) -> tuple[str, ...]:
    """All of them, for a note below the table."""
    if material.locations is None:
        return ()
    names = sorted({material.locations[clip] for clip in material.first.ids})
    return (f"Test places: {', '.join(names)}.",) if len(names) <= MOST_PLACES else ()


def _same_data(material: Material) -> str:
    if material.not_tau:
        return "no: " + "; ".join(material.not_tau)
    if len(material.first) != published.TEST_CLIPS:
        return f"TAU's classes and names, but {len(material.first)} test clips; the study has {published.TEST_CLIPS}"
    return f"TAU's classes and names, and as many test clips as the study's ({published.TEST_CLIPS})"
