"""Where the modalities disagree: Tables 3 and 4 of the study, and what follows for all classes (Tables A to E)."""

from avfusion.analysis.conflict import (
    COMBINATIONS,
    cell_table,
    combine,
    confusion_shift,
    error_distribution,
    fused_in_cells,
    oracle_accuracy,
    overall_cells,
    rescues_and_harms,
)
from avfusion.figures import conflict_cells, confusion_difference
from avfusion.report import published
from avfusion.report.document import (
    Absent,
    Block,
    Cell,
    Picture,
    Section,
    Table,
    blank,
    difference,
    label,
    ours,
    printed,
    signed,
)
from avfusion.report.material import Material
from avfusion.report.unimodal_section import published_heading
from avfusion.scoring.metrics import accuracy, confusion, log_loss
from avfusion.scoring.predictions import Predictions

CELL_TITLES = {
    "both": "both right",
    "only_audio": "only audio right",
    "only_video": "only video right",
    "neither": "neither right",
}


def conflict_section(material: Material) -> Section:
    """Tables 3 and 4, and, where both modalities are there, Tables A to E and Figures A and B."""
    blocks: list[Block] = [video_errors("Table 3", "airport", material), video_errors("Table 4", "bus", material)]
    audio, video = material.models.get("audio_only"), material.models.get("video_only")
    if audio is None or video is None:
        absent = "; ".join(
            material.absent(name) for name in ("audio_only", "video_only") if name not in material.models
        )
        blocks.append(Absent("Tables A to E, Figures A and B", "who is right, and what fusion makes of it", absent))
        return Section("Conflict between the modalities", tuple(blocks))
    if len(audio.seeds) > 1:
        blocks.append("Tables A to E are of the first seed of each model.")
    blocks += [
        four_cells(audio.answers, video.answers),
        class_cells(audio.answers, video.answers),
        bars(audio.answers, video.answers, material),
        all_errors(audio.answers, video.answers),
        shift(audio.answers, video.answers, material),
        fusion_in_conflict(material),
        reach(audio.answers, video.answers),
    ]
    return Section("Conflict between the modalities", tuple(blocks))


def video_errors(key: str, true_class: str, material: Material) -> Block:
    """Table 3 or 4: the video-only model's errors on one class, by what it answers."""
    caption = f"video only, errors on {true_class}: share of each predicted class"
    model = material.models.get("video_only")
    if model is None:
        return Absent(key, caption, material.absent("video_only"))
    if true_class not in model.answers.classes:
        return Absent(key, caption, f"these data have no class {true_class}; Table C has every class")
    theirs, found = published.VIDEO_ERRORS[true_class], error_distribution(model.answers, true_class)
    rows = []
    for scene in [name for name in model.answers.classes if name != true_class]:
        share = float(found["share"].get(scene, 0.0))
        text = theirs.get(scene)
        rows.append(
            (
                label(scene),
                printed(text),
                ours(share),
                ours(str(found["clips"].get(scene, 0))),
                difference(share, None if text is None else float(text)),
            )
        )
    counts = confusion(model.answers)[model.answers.classes.index(true_class)]
    errors = ours(f"{found['clips'].sum()} of {counts.sum()}")
    rows.append((label(f"all errors, of the clips of {true_class}"), blank(), blank(), errors, blank()))
    columns = ("predicted class", published_heading(material), "ours", "ours, clips", "difference")
    return Table(key, caption, columns, tuple(rows), (published.MISPRINTS[true_class],))


def four_cells(audio: Predictions, video: Predictions) -> Table:
    """Table A: over all clips, who is right."""
    stored, argmax = overall_cells(audio, video), overall_cells(audio.by_argmax(), video.by_argmax())
    rows = tuple(
        (
            label(CELL_TITLES[cell]),
            ours(str(stored.loc[cell, "clips"])),
            ours(float(stored.loc[cell, "share"])),
            ours(float(argmax.loc[cell, "share"])),
        )
        for cell in stored.index
    )
    note = (
        "Decided as stored; the last column decides by the largest probability, which differs where rounded ones tie."
    )
    return Table("Table A", "who is right, all test clips", ("cell", "clips", "share", "by argmax"), rows, (note,))


def class_cells(audio: Predictions, video: Predictions) -> Table:
    """Table B: per class, who is right, the class of most conflict first."""
    table = cell_table(audio, video)
    rows = tuple(
        (
            label(str(scene)),
            *(ours(str(row[cell])) for cell in CELL_TITLES),
            ours(float(row["conflict"])),
        )
        for scene, row in table.astype(object).iterrows()
    )
    notes = ("Conflict: share of the clips of the class that exactly one of the two models gets right.",)
    columns = ("class", *CELL_TITLES.values(), "conflict")
    return Table("Table B", "who is right, per class, most conflict first", columns, rows, notes)


def bars(audio: Predictions, video: Predictions, material: Material) -> Picture:
    """Figure A: Table B as bars."""
    drawn = conflict_cells(cell_table(audio, video), "Who is right, test clips", note=material.note)
    return Picture("Figure A", "Who is right, per class, most conflict on top", drawn)


def all_errors(audio: Predictions, video: Predictions) -> Table:
    """Table C: as Tables 3 and 4, of every class and both models."""
    rows: list[tuple[Cell, ...]] = []
    for name, predictions in (("video only", video), ("audio only", audio)):
        for scene in predictions.classes:
            table = error_distribution(predictions, scene)
            shares = ", ".join(f"{answer} {share:.3f}" for answer, share in table["share"].items())
            rows.append((label(f"{name}: {scene}"), ours(str(table["clips"].sum())), ours(shares or "no error")))
    columns = ("model: true class", "errors", "share of each answer among the errors")
    return Table("Table C", "what each class is taken for", columns, tuple(rows))


def shift(audio: Predictions, video: Predictions, material: Material) -> Picture:
    """Figure B: the difference of the two confusion matrices."""
    drawn = confusion_difference(
        confusion_shift(audio, video), audio.classes, "Audio only minus video only", note=material.note
    )
    return Picture(
        "Figure B", "Difference of the row-normalised confusion matrices, audio only minus video only", drawn
    )


def fusion_in_conflict(material: Material) -> Block:
    """Table D: what each fused model wins and loses against each modality alone."""
    audio, video = (material.models[name].answers for name in ("audio_only", "video_only"))
    rows = []
    for model in material.variants:
        if model.name in ("audio_only", "video_only"):
            continue
        counts = rescues_and_harms(audio, video, model.answers).iloc[-1].to_dict()
        within = fused_in_cells(audio, video, model.answers).iloc[-1].to_dict()
        cells: list[Cell] = []
        for name in ("audio", "video"):
            rescues, harms = counts[f"rescues_over_{name}"], counts[f"harms_over_{name}"]
            cells += [ours(str(int(rescues))), ours(str(int(harms))), ours(signed((rescues - harms) / len(audio)))]
        shares = (float(within[f"{cell}_fused_accuracy"]) for cell in CELL_TITLES)
        cells += [ours(NO_CLIP if share != share else share) for share in shares]
        rows.append((label(model.title), *cells))
    caption = "what fusion wins and loses against one modality"
    if not rows:
        return Absent("Table D", caption, f"not in {material.searched}: a fused model")
    notes = (
        "Rescue: the fused model is right and that modality wrong; harm: the reverse. Gain: rescues minus harms, over "
        "all clips, which is the gain in accuracy. Last four columns: share that the fused model gets right where both "
        "modalities, only one, or neither are right.",
    )
    columns = ("model", *("rescues", "harms", "gain") * 2, "both", "only audio", "only video", "neither")
    spans = (("", 1), ("against audio only", 3), ("against video only", 3), ("fused right where right:", 4))
    return Table("Table D", caption, columns, tuple(rows), notes, spans)


NO_CLIP = "no clip"


def reach(audio: Predictions, video: Predictions) -> Table:
    """Table E: the oracle, and combinations that need no training."""
    rows = [
        (label("audio only"), ours(accuracy(audio), 4), ours(log_loss(audio))),
        (label("video only"), ours(accuracy(video), 4), ours(log_loss(video))),
    ]
    for rule in COMBINATIONS:
        combined = combine(audio, video, rule)
        rows.append((label(f"{rule} of the two"), ours(accuracy(combined), 4), ours(log_loss(combined))))
    rows.append((label("oracle"), ours(oracle_accuracy(audio, video), 4), blank()))
    notes = (
        "Oracle: always the modality that is right, where one is; no choice between the two can do better.",
        "Combinations: probabilities as stored, floored at 1e-4, combined, renormalised, decided by argmax.",
    )
    return Table(
        "Table E", "what could be reached without training", ("rule", "accuracy", "log loss"), tuple(rows), notes
    )
