import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import accuracy_score, log_loss, precision_recall_fscore_support

from avfusion.analysis.locations import ClipLocations, locations_of_names
from avfusion.analysis.pairs import Verdict, pair_table, score_table
from avfusion.analysis.resampling import Locations
from avfusion.analysis.variant_answers import VariantAnswers
from avfusion.errors import UserError
from avfusion.report import published
from avfusion.report.certainty import accuracies, gain, in_words
from avfusion.report.claims import JUDGES, Judged, Outcome
from avfusion.report.contents import build_document
from avfusion.report.document import Absent, Cell, Document, Table, difference, signed
from avfusion.report.fusion_section import best_alpha_table
from avfusion.report.fusion_section import score_table as study_score_table
from avfusion.report.gathering import material_of_folder
from avfusion.report.material import STUDY_MODELS, Material, Sweep, SweepValidation, over_same_clips
from avfusion.report.writing import write_report
from avfusion.scoring.predictions import Predictions
from avfusion.scoring.tsv import write_course_tsv

PLACES = ("lisbon-1", "milan-2", "paris-3", "vienna-4")
SEGMENTS = 40
IDS = tuple(f"{s}-{place}-{k}" for s in published.CLASSES for place in PLACES for k in range(SEGMENTS))
LABELS = np.repeat(np.arange(len(published.CLASSES)), len(PLACES) * SEGMENTS)
SKILL = {"audio_only": 1.6, "video_only": 1.3, "baseline": 2.2, "early": 2.4, "late": 2.8, "flatten": 1.9, "lstm": 1.5}
ALPHAS = (0.1, 0.25, 0.5)


@cache
def answers(skill: float, seed: int, shuffled: bool = False) -> Predictions:
    """Noisy scores in which the true class stands out by `skill`; `shuffled` gives each clip another clip's answer."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(len(IDS), len(published.CLASSES)))
    scores[np.arange(len(IDS)), LABELS] += skill
    if shuffled:
        scores = scores[np.random.default_rng(seed + 2).permutation(len(IDS))]
    made = Predictions.from_scores(IDS, published.CLASSES, LABELS, 2 * scores)
    return replace(made, as_read=made.probabilities.round(3))


def sweep(shuffled: bool = False) -> Sweep:
    rows = []
    for alpha in ALPHAS:
        for seed in (0, 1):
            sets = {part: answers(2 - (alpha - 0.3) ** 2, 50 + seed + place, shuffled)
                    for place, part in enumerate(("val", "test"))}  # fmt: skip
            scores = {f"{part}_accuracy": float(p.right.mean()) for part, p in sets.items()}
            losses = {f"{part}_log_loss": log_loss(p.labels, p.probabilities) for part, p in sets.items()}
            rows.append({"alpha": alpha, "seed": seed, **scores, **losses})
    losses_by_epoch = [1.0, 0.8, 0.9] if not shuffled else [2.0, 1.9, 2.1]
    history = pd.DataFrame({"epoch": [1, 2, 3], "train_loss": losses_by_epoch, "val_loss": losses_by_epoch})
    chosen = 0.1 if shuffled else 0.25
    return Sweep("run sweep", pd.DataFrame(rows), chosen, answers(2.0, 50, shuffled), history)


def model(name: str, *seeds: Predictions, origin: str = "some run", synthetic: bool = False) -> VariantAnswers:
    provenance = {"dataset": {"name": "d", "synthetic": synthetic}, "embedder": {"name": "e", "trained": True}}
    features = {"path": "features", "digest": "0123", "provenance": provenance}
    title = STUDY_MODELS.get(name, name)
    return VariantAnswers(name, origin, seeds, seeds, title=title, config={"features": features})


def material(shuffled: bool = False, **changes: Any) -> Material:
    models = [model(name, answers(skill, number, shuffled)) for number, (name, skill) in enumerate(SKILL.items())]
    found = locations_of_names(IDS)
    made = Material(tuple(models), "some runs", found, sweep=sweep(shuffled), searched="this experiment")
    return replace(made, **changes)


def swapped(made: Material, **others: str) -> Material:
    """The same with the answers of other models in place of those of some."""
    variants = tuple(
        replace(made.models[others.get(one.name, one.name)], name=one.name, title=one.title) for one in made.variants
    )
    return replace(made, variants=variants)


@pytest.fixture(scope="module")
def whole() -> Document:
    return coarse(build_document(material()))


def coarse(document: Document) -> Document:
    """The same with small pictures, which take less time."""
    for picture in document.pictures:
        picture.figure.set_dpi(40)
    return document


@pytest.fixture(scope="module")
def written(whole: Document, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_report(whole, tmp_path_factory.mktemp("report") / "deep" / "report")


def shown(figure: Figure) -> tuple[list[str], list[list[float]]]:
    """What a figure says: its texts and its lines."""
    lines = [list(map(float, np.ravel(line.get_ydata()))) for axes in figure.axes for line in axes.lines]
    return [text.get_text() for axes in figure.axes for text in axes.texts], lines


def table(document: Document, key: str) -> Table:
    (found,) = [block for block in document.blocks() if isinstance(block, Table) and block.key == key]
    return found


def texts(document: Document, key: str, row: str, kind: str = "ours") -> list[str]:
    (cells,) = [cells for cells in table(document, key).rows if cells[0].text == row]
    return [cell.text for cell in cells if cell.kind == kind]


def test_every_table_and_figure_of_the_study_is_there_once(whole: Document) -> None:
    keys = [block.key for block in whole.blocks() if not isinstance(block, str)]
    assert len(set(keys)) == len(keys)
    assert {*(f"Table {n}" for n in range(1, 10)), *(f"Figure {n}" for n in range(1, 9))} <= set(keys)
    assert not [block for block in whole.blocks() if isinstance(block, Absent)]


def test_other_predictions_change_every_cell_of_ours_and_every_figure(whole: Document) -> None:
    other = build_document(material(shuffled=True))
    before, after = whole.cells("ours"), other.cells("ours")
    assert len(before) > 340
    same = [address for address, text in before.items() if after.get(address) == text]
    assert same == []
    assert whole.cells("published") == other.cells("published")
    pairs = zip(whole.pictures, other.pictures, strict=True)
    unchanged = [one.key for one, two in pairs if shown(one.figure) == shown(two.figure)]
    assert unchanged == ["Figure 1"]


def test_per_class_tables_agree_with_scikit_learn(whole: Document) -> None:
    for key, name in (("Table 1", "video_only"), ("Table 2", "audio_only")):
        model_answers = material().models[name].answers
        expected = np.array(precision_recall_fscore_support(LABELS, model_answers.decisions)[:3]).T
        for scene, scores in zip(published.CLASSES, expected, strict=True):
            assert texts(whole, key, scene) == [f"{score:.2f}" for score in scores]
            theirs = published.PER_CLASS[name][scene]
            gaps = [round(score, 2) - other for score, other in zip(scores, theirs, strict=True)]
            assert texts(whole, key, scene, "difference") == [signed(gap, 2) for gap in gaps]


def test_error_tables_agree_with_a_crosstab(whole: Document) -> None:
    video = material().models["video_only"].answers
    names = np.array(published.CLASSES)
    for key, scene in (("Table 3", "airport"), ("Table 4", "bus")):
        wrong = (names[LABELS] == scene) & ~video.right
        counts = pd.Series(names[video.decisions[wrong]]).value_counts()
        for answer in published.CLASSES:
            if answer != scene:
                assert texts(whole, key, answer) == [f"{counts[answer] / wrong.sum():.3f}", str(counts[answer])]
        assert texts(whole, key, f"all errors, of the clips of {scene}") == [f"{wrong.sum()} of 160"]
        assert table(whole, key).notes == (published.MISPRINTS[scene],)


def test_scores_agree_with_scikit_learn(whole: Document) -> None:
    for key, name in (("Table 5", "baseline"), ("Table 6", "late"), ("Table 8", "flatten"), ("Table 9", "lstm")):
        found = material().models[name].answers
        right, loss = accuracy_score(LABELS, found.decisions), log_loss(LABELS, found.probabilities)
        assert texts(whole, key, STUDY_MODELS[name]) == [f"{right:.3f}", f"{loss:.3f}"]
        assert texts(whole, key, STUDY_MODELS[name], "published") == [f"{x:.3f}" for x in published.SCORES[name]]


def test_the_test_chosen_alpha_is_a_row_beside_the_chosen_one() -> None:
    records = pd.DataFrame(
        {"alpha": [0.25, 0.5], "seed": [0, 0], "val_accuracy": [0.8, 0.7], "val_log_loss": [0.5, 0.6],
         "test_accuracy": [0.71, 0.79], "test_log_loss": [0.55, 0.45]}
    )  # fmt: skip
    found = best_alpha_table(replace(sweep(), records=records), material())
    ours = {row[0].text: [cell.text for cell in row if cell.kind == "ours"] for row in found.rows}
    assert ours == {
        "alpha chosen on validation": ["0.710", "0.550", "0.25"],
        "alpha favoured by the test clips": ["0.790", "0.450", "0.50"],
    }


def test_seeds_are_averaged_and_said() -> None:
    first, second = answers(2.0, 1), answers(1.0, 2)
    made = material(variants=(model("baseline", first, second),))
    found = study_score_table("Table 5", "baseline", ["baseline"], made)
    assert isinstance(found, Table)
    mean = (first.right.mean() + second.right.mean()) / 2
    assert found.rows[0][3].text == f"{mean:.3f}"
    assert found.notes == ("baseline (mid-level): mean over 2 seeds.",)


def test_misprints_are_as_the_notes_say() -> None:
    sums = {scene: sum(map(float, row.values())) for scene, row in published.VIDEO_ERRORS.items()}
    assert {scene: f"{total:.2f}" for scene, total in sums.items()} == {"airport": "0.90", "bus": "1.34"}
    assert "sums to 0.90" in published.MISPRINTS["airport"] and "sums to 1.34" in published.MISPRINTS["bus"]
    for name, rows in published.PER_CLASS.items():
        assert tuple(rows) == published.CLASSES
        for precision, recall, f1 in rows.values():  # the printed F1 follows from printed precision and recall
            assert 2 * precision * recall / (precision + recall) == pytest.approx(f1, abs=0.012), name


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("synthetic", "the scenes are synthetic"),
        ("renamed", "the clips are not named as TAU's are"),
        ("other classes", "the classes are not TAU's ten"),
    ],
)
def test_on_other_data_published_values_are_reference_only(change: str, reason: str) -> None:
    made = answers(2.0, 1)
    if change == "renamed":
        made = replace(made, ids=tuple(f"clip{n}" for n in range(len(IDS))))
    if change == "other classes":
        made = replace(made, classes=(*made.classes[:-1], "zoo"))
    baseline = model("baseline", made, synthetic=change == "synthetic")
    document = build_document(material(variants=(baseline,), clip_locations=None, sweep=None))
    assert reason in document.warning and "reference only" in document.warning
    assert ("published (reference only)", 2) in table(document, "Table 5").spans
    assert "about these data, not about the study" in table(document, "Claims").notes[0]


def test_on_tau_nothing_is_reference_only(whole: Document) -> None:
    assert whole.warning == ""
    assert ("published", 2) in table(whole, "Table 5").spans


def test_claims_follow_the_evidence() -> None:
    made = material()
    outcomes = {letter: judge(made).outcome for letter, judge in JUDGES.items()}
    assert outcomes["c"] == outcomes["d"] == outcomes["f"] == Outcome.HOLDS
    reverse = swapped(made, late="lstm", lstm="late")
    assert [JUDGES[letter](reverse).outcome for letter in "cdf"] == [Outcome.FAILS] * 3
    equal = swapped(made, late="early")
    assert JUDGES["d"](equal).outcome == Outcome.OPEN
    assert "+" not in JUDGES["d"](equal).evidence.split(":")[1].split("(log")[0]


def test_claims_on_conflict() -> None:
    right = dict.fromkeys(published.CLASSES, 0.95)
    worst = {**right, "airport": 0.1, "bus": 0.2, "shopping_mall": 0.3}
    taken = {"airport": ("shopping_mall", "metro_station"), "bus": ("tram",), "shopping_mall": ("airport",)}
    video = _decided(worst, taken)
    audio = _decided(dict.fromkeys(published.CLASSES, 1.0), {})
    made = material(variants=(model("audio_only", audio), model("video_only", video)))
    assert [JUDGES[letter](made).outcome for letter in "ab"] == [Outcome.HOLDS, Outcome.HOLDS]
    other = swapped(made, video_only="audio_only", audio_only="video_only")
    assert [JUDGES[letter](other).outcome for letter in "ab"] == [Outcome.HOLDS, Outcome.FAILS]
    evidence = "not in this experiment: early fusion; baseline (mid-level); late fusion, alpha = 0.5"
    assert JUDGES["c"](made) == Judged(evidence, Outcome.OPEN, missing=True)


def _decided(share_right: dict[str, float], taken: dict[str, tuple[str, ...]]) -> Predictions:
    """Of each class the first clips right, the others taken in turn for the classes named (else for the next class)."""
    per_class = len(IDS) // len(published.CLASSES)
    decisions = LABELS.copy()
    for label, scene in enumerate(published.CLASSES):
        wrong = range(round(share_right[scene] * per_class), per_class)
        others = taken.get(scene, (published.CLASSES[(label + 1) % 10],))
        for place in wrong:
            decisions[label * per_class + place] = published.CLASSES.index(others[place % len(others)])
    return Predictions(IDS, published.CLASSES, LABELS, np.eye(10)[decisions], decisions)


def swept(accuracies: dict[float, float], n_locations: int = 40, n_seeds: int = 1) -> Sweep:
    """A sweep with about these accuracies at each alpha, on 10 validation clips at each location."""
    generator = np.random.default_rng(0)
    places = np.repeat(np.arange(n_locations), 10)
    ease, own = generator.random(len(places)), generator.random((n_seeds, len(places)))
    right = {alpha: (0.9 * ease + 0.1 * own < share).astype(float) for alpha, share in accuracies.items()}
    rows = [(alpha, seed, float(row.mean())) for alpha, rows in right.items() for seed, row in enumerate(rows)]
    records = pd.DataFrame(rows, columns=["alpha", "seed", "val_accuracy"]).assign(
        val_log_loss=0.5, test_accuracy=0.7, test_log_loss=0.5
    )
    best = max(right, key=lambda alpha: float(right[alpha].mean()))
    locations = Locations.of([f"place {place}" for place in places], places % 10, 10)
    return replace(sweep(), records=records, best_alpha=best, validation=SweepValidation(right, locations))


@pytest.mark.parametrize(
    ("accuracies", "n_locations", "n_seeds", "verdict", "said"),
    [
        ({0.1: 0.5, 0.25: 0.8, 0.5: 0.6}, 40, 1, "holds", "of 2 other alphas 2 are worse and 0 better"),
        ({0.1: 0.5, 0.25: 0.8, 0.5: 0.6}, 40, 3, "holds", "of 2 other alphas 2 are worse and 0 better"),
        ({0.1: 0.5, 0.25: 0.8, 0.35: 0.795}, 40, 1, "cannot tell", "of 2 other alphas 1 are worse and 0 better"),
        ({0.25: 0.8, 0.5: 0.805}, 40, 1, "cannot tell", "of 1 other alphas 0 are worse and 0 better"),
        ({0.1: 0.5, 0.25: 0.6, 0.5: 0.8}, 40, 1, "does not", "of 2 other alphas 1 are worse and 1 better"),
        ({0.1: 0.5, 0.25: 0.8}, 2, 1, "cannot tell", "over 2 locations"),
    ],
)
def test_the_claim_on_alpha(
    accuracies: dict[float, float], n_locations: int, n_seeds: int, verdict: str, said: str
) -> None:
    made = swept(accuracies, n_locations, n_seeds)
    evidence, found, _ = JUDGES["e"](material(sweep=made))
    assert (found, said in evidence) == (verdict, True), evidence
    means = made.means["val_accuracy"]
    chosen = f"validation chooses {made.best_alpha:g} (accuracy {means[made.best_alpha]:.3f})"
    assert f"{chosen}; at 0.25 it is {means[0.25]:.3f}" in evidence
    assert ("one seed each, so these networks only" in evidence) == (n_seeds == 1)


def test_the_claim_on_alpha_needs_the_answers_of_every_alpha() -> None:
    evidence, found, _ = JUDGES["e"](material(sweep=replace(swept({0.25: 0.8, 0.5: 0.5}), validation=None)))
    assert found == Outcome.OPEN and "run `sweep` again" in evidence
    evidence, found, _ = JUDGES["e"](material(sweep=swept({0.3: 0.8, 0.5: 0.5})))
    assert found == Outcome.OPEN and "0.25 was not tried" in evidence


def test_claims_and_compare_share_one_rule() -> None:
    """Late beats early on its own, and not among the pairs and scores of seven models: the page says both."""
    generator = np.random.default_rng(3)
    early = answers(2.4, 3)
    late = replace(early, decisions=np.where(generator.random(len(IDS)) < 0.022, LABELS, early.decisions))
    made = material()
    changed = {"early": early, "late": late}
    made = replace(
        made, variants=tuple(replace(one, seeds=(changed.get(one.name, one.answers),)) for one in made.variants)
    )
    found = gain("late", "early", made)
    rows = pair_table(made.variants, made.locations)
    of_pair = rows[(rows["score"] == "accuracy") & (rows["first"] == "early") & (rows["second"] == "late")].iloc[0]
    assert (found.value, found.p_holm) == (-of_pair["difference"], of_pair["p_holm"])
    assert of_pair["verdict"] == "cannot tell" and found.alone is Verdict.BETTER
    judged = JUDGES["d"](made)
    assert judged.outcome is Outcome.OPEN and judged.evidence.endswith("Without Holm's correction: holds.")
    claims = table(build_document(made), "Claims")
    assert {row[0].text[:3]: row[2].text for row in claims.rows}["(d)"].startswith(
        "locations, corrected over all pairs"
    )
    assert f"over all {len(rows)} pairs and scores" in " ".join(claims.notes)


def test_models_trained_otherwise_are_named_beside_the_claims() -> None:
    made = material()
    remarks = {"early": "epochs = 20 (default 100)"}
    variants = tuple(replace(one, remarks=remarks.get(one.name, "")) for one in made.variants)
    document = build_document(replace(made, variants=variants))
    (note,) = [text for text in table(document, "Claims").notes if "study's hyperparameters" in text]
    assert "study's hyperparameters: early fusion (epochs = 20 (default 100))." in note
    assert not [text for text in table(build_document(made), "Claims").notes if "study's hyperparameters" in text]


def test_intervals_are_those_of_compare() -> None:
    made = material()
    several = replace(made.models["late"], seeds=tuple(answers(2.8, seed) for seed in (90, 91, 92)))
    early = made.models["early"]
    both = [several, early]
    made = replace(made, variants=tuple(both))
    ends = ["low", "high"]
    found, of_late = gain("late", "early", made), accuracies(made).loc["late", ends]
    pair = pair_table(both, made.locations).set_index("score").loc["accuracy"]
    score = score_table(both, made.locations).set_index(["variant", "score"]).loc[("late", "accuracy"), ends]
    assert (found.low, found.high, found.p_value) == tuple(pair[[*ends, "p_value"]])
    assert tuple(of_late) == tuple(score)
    turned = gain("early", "late", made)
    assert (turned.value, turned.low, turned.high) == (-found.value, -found.high, -found.low)
    assert in_words(found).startswith(f"{signed(found.value)} ({signed(found.low)} to {signed(found.high)}; p ")


def test_of_one_location_no_interval_is_known() -> None:
    made = material(clip_locations=ClipLocations(dict.fromkeys(IDS, "here"), None, "a list"))
    assert in_words(gain("late", "early", made)).endswith("(interval not known)")
    document = build_document(made)
    assert texts(document, "Table F", STUDY_MODELS["late"])[-1] == "not known"


def test_unknown_locations_make_every_clip_its_own() -> None:
    late = material().models["late"]
    apart, together = material(clip_locations=None, variants=(late,)), material(variants=(late,))
    assert len(apart.locations) == len(IDS) > len(together.locations)
    assert tuple(accuracies(apart).loc["late"]) != tuple(accuracies(together).loc["late"])


def test_a_folder_of_files_gives_what_follows_from_predictions(tmp_path: Path) -> None:
    names = {"audio_only": 1, "video_only": 2, "baseline": 3, "early_fusion": 4, "late": 5, "my_own": 6}
    for name, seed in names.items():
        write_course_tsv(tmp_path / f"{name}.tsv", answers(2.0, seed))
    write_course_tsv(tmp_path / "other.tsv", answers(2.0, 1).take(np.arange(9)))
    made = material_of_folder(tmp_path)
    assert list(made.models) == ["audio_only", "video_only", "baseline", "early", "late", "my_own"]
    assert made.remarks == ("Left out: other.tsv, which is over other clips or classes than audio_only.tsv.",)
    document = build_document(made)
    absent = {block.key: block.reason for block in document.blocks() if isinstance(block, Absent)}
    assert set(absent) == {"Figure 6", "Table 7", "Figure 7", "Figure 8", "Table 8", "Table 9"}
    assert absent["Table 7"] == "not in these files: an alpha sweep (entry point `sweep`)"
    assert absent["Table 9"] == "not in these files: LSTM"
    assert texts(document, "Models", "late fusion", "fact")[2] == "the file does not say which alpha"
    assert "late fusion, alpha = 0.5" not in {row[0].text for row in table(document, "Table 6").rows}
    assert table(document, "Table 6").notes == (
        "late fusion: the file does not say which alpha; published: late fusion, alpha = 0.5.",
    )
    assert any(row[0].text == "my_own" for row in table(document, "Table F").rows)
    assert made.not_tau == () and made.clip_locations is not None


@pytest.mark.parametrize(
    ("name", "identity", "title"),
    [
        ("late_fusion", "late", "late fusion"),
        ("late_alpha_0.5", "late", "late fusion, alpha = 0.5"),
        ("late_fusion alpha=0.50", "late", "late fusion, alpha = 0.5"),
        ("late_alpha_0.3", "late_alpha_0.3", "late_alpha_0.3"),
    ],
)
def test_late_fusion_has_the_alpha_that_its_name_says(tmp_path: Path, name: str, identity: str, title: str) -> None:
    write_course_tsv(tmp_path / name / "prediction.csv", answers(2.0, 1))
    (found,) = material_of_folder(tmp_path).models.values()
    assert (found.name, found.title, found.origin) == (identity, title, f"{name}/prediction.csv")


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"no predictions here; looked for \*.tsv, and \*.csv with .*, in it and in its folders",
    ):
        material_of_folder(tmp_path)
    write_course_tsv(tmp_path / "early.tsv", answers(2.0, 1))
    write_course_tsv(tmp_path / "early_fusion.tsv", answers(2.0, 1))
    with pytest.raises(UserError, match=r"early.tsv and early_fusion.tsv are the same model; keep one"):
        material_of_folder(tmp_path)
    part = model("late", answers(2.0, 1).take(np.arange(9)), origin="late.tsv")
    with pytest.raises(UserError, match=r"late.tsv beside baseline.tsv: .* not over the same clips: 1591 only in the"):
        over_same_clips([model("baseline", answers(2.0, 1), origin="baseline.tsv"), part])


class Page(HTMLParser):
    """Collects what a page refers to, and whether its tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else_and_shows_every_cell(whole: Document, written: tuple[Path, Path]) -> None:
    html, markdown = written
    text = html.read_text()
    page = Page(text)
    assert page.open == [] and len(set(page.ids)) == len(page.ids)
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert len(page.sources) == len(whole.pictures) == 11
    assert "url(" not in text and "@import" not in text and "@media print" in text and "break-inside: avoid" in text
    assert text.count('<td class="ours') == len(whole.cells("ours"))
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", markdown.read_text())
    assert len(pictures) == 11 and all((markdown.parent / name).is_file() for name in pictures)
    lines = [line for line in markdown.read_text().splitlines() if line.startswith("|")]
    n_rows = sum(len(block.rows) + 2 for block in whole.blocks() if isinstance(block, Table))
    assert len(lines) == n_rows
    assert not list(html.parent.rglob("*.tmp"))


def test_names_from_outside_cannot_become_markup(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script> | [x](y)"
    made = replace(answers(2.0, 1), classes=(*published.CLASSES[:-1], hostile))
    named = model(hostile, made, origin=hostile)
    document = coarse(build_document(material(variants=(named,), sweep=None)))
    html, markdown = write_report(document, tmp_path)
    assert "script" not in Page(html.read_text()).tags
    assert "<script" not in html.read_text().replace("&lt;script", "")
    assert "\\<script\\>alert(1)\\</script\\> \\| \\[x\\](y)" in markdown.read_text()


def test_a_folder_that_cannot_be_written(whole: Document, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"output=.*file/report: cannot be written .*name a folder that can"):
        write_report(whole, tmp_path / "file" / "report")


def test_differences_agree_with_a_readers_subtraction() -> None:
    assert difference(0.06435, 0.06, 2) == Cell("0.00", "difference")
    assert difference(0.8238, 0.8094).text == "+0.015"  # not 0.0144: 0.824 and 0.809 stand there
    assert difference(0.8064, 0.809).text == "−0.003"
    assert difference(0.80904, 0.809).text == "0.000"
