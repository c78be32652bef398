"""The report as a whole: which sections, in which order."""

from avfusion.report.claims import claims_section
from avfusion.report.conflict_section import conflict_section
from avfusion.report.data_section import data_section, features_section
from avfusion.report.document import Document
from avfusion.report.fusion_section import fusion_section, overview_section
from avfusion.report.material import Material
from avfusion.report.reading_section import reading_section
from avfusion.report.unimodal_section import unimodal_section

TITLE = "Audio-visual scene classification: the study, regenerated"


def build_document(material: Material) -> Document:
    """Every table and figure of the study, numbered as there; ours beyond it have letters."""
    subtitle = (
        f"From {material.source}. Tables 1 to 9 and Figures 1 to 8 are numbered as in the study; those with letters "
        "are ours alone. Difference: ours minus published, both as they stand here."
    )
    warning = ""
    if material.not_tau:
        warning = (
            f"These are not the study's data ({'; '.join(material.not_tau)}). Published values are shown for reference "
            "only: a difference from them says nothing about the study."
        )
    return Document(
        TITLE,
        subtitle,
        warning,
        (
            data_section(material),
            claims_section(material),
            features_section(),
            unimodal_section(material),
            conflict_section(material),
            fusion_section(material),
            overview_section(material),
            reading_section(material),
        ),
    )
