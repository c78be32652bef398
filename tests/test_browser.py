"""MLflow's UI and the pages as people see them, in a browser, over one small finished experiment.

Pictures of all that is looked at stay in the folder that AVFUSION_PICTURES names, or in a temporary one.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from avfusion.tracking.session import EXPERIMENT, connect
from avfusion.tracking.ui import run_page
from tests.edge import run_job
from tests.stand_ins import train_here
from tests.stores import make_store

browsers = pytest.importorskip("tests.browser", reason="selenium is not installed")
pytestmark = pytest.mark.skipif(browsers.programs() is None, reason="Chromium or its driver is not installed")

NAME = "seen"
CLASSES = (
    "airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall", "street_pedestrian",
    "street_traffic", "tram",
)  # fmt: skip
EPOCHS = 3
FAST = f"epochs={EPOCHS},batch_size=32"
SPACE = (
    f"{FAST},alpha=0.1:0.9,learning_rate=1e-4:1e-2,dropout=0.1,hidden=16,embedding=16,output_hidden=64,"
    "weight_decay=1e-4,scheduler=plateau,label_smoothing=0,mixup=0,modality_dropout=0,balance=0"
)
"""Two hyperparameters are searched."""
TRIALS = [f"trial {number}" for number in range(4)]
PAPER = 688
"""Pixels between the margins of A4."""


@dataclass
class Seen:
    """What the tests look at."""

    browser: Any
    ui: str
    """Address of MLflow's UI."""
    folder: Path
    """Of the pages."""
    lines: dict[str, list[str]]
    """What each job printed."""

    def page(self, job: str) -> str:
        """The page of the UI whose address the job printed last."""
        return self.lines[job][-1].partition("/#/")[2]

    def open(self, page: str) -> None:
        self.browser.open(f"{self.ui}/#/{page.removeprefix('#/')}")

    @property
    def experiment(self) -> str:
        found = MlflowClient().get_experiment_by_name(NAME)
        assert found is not None
        return str(found.experiment_id)

    def run(self, name: str) -> Run:
        """The newest run of this name."""
        (found,) = MlflowClient().search_runs([self.experiment], f"attributes.run_name = '{name}'", max_results=1)
        return found

    def mark(self, chart: str, run: Run) -> tuple[str, Any]:
        """What a chart of this title should show of a run: what names it there, and its values."""
        param, _, metric = chart.rpartition(" vs. ")
        if param:
            return run.info.run_name, [run.data.params[param], run.data.metrics[metric]]
        if metric == "val_loss":
            history = MlflowClient().get_metric_history(run.info.run_id, metric)
            return run.info.run_name, [entry.value for entry in history]
        return run.info.run_id, run.data.metrics[metric]


@pytest.fixture(scope="module")
def seen(tracking_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Four variants, one with two seeds; a sweep; a tuning study; a comparison and a report of them."""
    folder = tmp_path_factory.mktemp("seen")
    pictures = Path(os.environ.get("AVFUSION_PICTURES", folder / "pictures")).absolute()
    pictures.mkdir(parents=True, exist_ok=True)
    make_store(folder / "store", seed=5, classes=CLASSES, locations=6, clips=2, separation=1.5)
    on = {"features": str(folder / "store"), "device": "cpu"}
    lines = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train_here(patch)
        patch.setenv("MLFLOW_EXPERIMENT_NAME", NAME)
        connect()
        run_job("train", variants="baseline", seeds="0,1", params=FAST, **on)
        lines["train"] = run_job("train", variants="audio_only,late", seeds="0", params=FAST, **on)
        lines["sweep"] = run_job("sweep", alphas="0.2,0.5,0.8", seeds="0", params=FAST, workers="1", **on)
        lines["tune"] = run_job("tune", variant="late", trials="4", space=SPACE, retrain="0", **on)
        for job in ("compare", "report"):
            lines[job] = run_job(job, experiment=NAME, output=job)
    with browsers.mlflow_ui(tracking_uri, folder) as ui, browsers.browser(pictures) as browser:
        yield Seen(browser, ui, folder, lines)
    mlflow.set_experiment(EXPERIMENT)


CELLS = """
const text = cell => (cell.querySelector('a') ?? cell).innerText.trim();
const rows = {};
for (const cell of document.querySelectorAll('.ag-row [col-id]')) {
  const row = cell.closest('.ag-row').getAttribute('row-index');
  (rows[row] ||= {})[cell.getAttribute('col-id').replaceAll('`', '')] = text(cell);
}
const order = Object.keys(rows).sort((a, b) => a - b).map(row => rows[row]);
return order.length == arguments[0] && order;
"""
"""The table of runs: for each row, in order, its cells by column; once there are so many."""

COLUMNS = """
const cells = [...document.querySelectorAll('.ag-header-cell[col-id]')];
const left = cell => cell.getBoundingClientRect().left;
const ids = cells.sort((a, b) => left(a) - left(b)).map(cell => cell.getAttribute('col-id').replaceAll('`', ''));
return ids.filter(id => /^(metrics|params|tags)[.]/.test(id));
"""
"""The columns of the table that are metrics, parameters or tags, from left to right."""


CUT = """
const parts = [...document.querySelectorAll('.ag-header-cell[col-id] *')];
return parts.filter(part => part.clientWidth && part.scrollWidth > part.clientWidth).map(part => part.innerText);
"""
"""The heads of columns that are not shown whole."""


@pytest.mark.parametrize(
    ("job", "columns", "runs"),
    [
        (
            "train",
            ["params.variant", "metrics.test/accuracy", "metrics.val/accuracy", "metrics.test/log_loss",
             "metrics.val/log_loss", "metrics.test/macro_f1", "params.alpha", "tags.seeds", "tags.data",
             "tags.embedder"],
            ["audio_only", "baseline", "late", "late tuned"],
        ),
        (
            "sweep",
            ["params.alpha", "params.seed", "metrics.test/accuracy", "metrics.val/accuracy", "metrics.test/log_loss",
             "metrics.val/log_loss", "tags.data", "tags.embedder"],
            ["alpha 0.20 seed 0", "alpha 0.50 seed 0", "alpha 0.80 seed 0"],
        ),
        (
            "tune",
            ["tags.avfusion.outcome", "metrics.objective", "params.learning_rate", "params.alpha",
             "metrics.val/accuracy", "metrics.val/log_loss", "metrics.epochs"],
            TRIALS,
        ),
        (
            "compare",
            ["tags.side_by_side", "params.clips", "params.independent_locations", "tags.data", "tags.embedder"],
            ["compare", "report"],
        ),
    ],
)  # fmt: skip
def test_the_printed_address_opens_a_view_with_the_stores_values(
    seen: Seen, job: str, columns: list[str], runs: list[str]
) -> None:
    seen.browser.resize(2600, 900)
    seen.open(seen.page(job))
    rows = seen.browser.wait(CELLS, len(runs))
    seen.browser.picture(f"view-{job}")
    assert seen.browser.js(COLUMNS) == columns
    assert set(seen.browser.js(CUT)) <= {"Duration"}  # MLflow's own, by three pixels of its edge
    names = [row["attributes.Run Name"] for row in rows]
    assert sorted(names) == runs
    for name, row in zip(names, rows, strict=True):
        data = seen.run(name).data
        for column in columns:
            kind, _, key = column.partition(".")
            text, value = row[column], getattr(data, kind).get(key)
            if value is None:
                assert text == "-", (name, column)
            elif kind == "metrics":
                assert float(text) == pytest.approx(value), (name, column)
            else:
                assert text == value, (name, column)


CHARTS = """
const read = chart => {
  const values = {};
  for (const {type, name, text, x, y} of chart.data) {
    if (type == 'bar') y.forEach((run, index) => values[run] = x[index]);
    else if (name) values[name] = [...y];
    else text.forEach((run, index) => values[run] = [x[index], y[index]]);
  }
  const marks = [...chart.querySelectorAll('.barlayer .point path, .scatterlayer .point')];
  const drawn = marks.filter(mark => mark.getBoundingClientRect().width > 1).length;
  return {title: chart.closest('[data-testid]').innerText.split('\\n')[0], values, drawn};
};
const charts = [...document.querySelectorAll('.js-plotly-plot')].slice(0, arguments[0]).map(read);
return charts.length == arguments[0] && charts.every(chart => chart.drawn) && charts;
"""
"""For each of the first charts, once there are so many with marks: its title, its values by run, and how many marks."""


@pytest.mark.parametrize(
    ("job", "runs", "charts"),
    [
        (
            "train",
            ["audio_only", "baseline", "late", "late tuned"],
            ["test/accuracy", "val/accuracy", "test/log_loss", "val/log_loss", "val_loss"],
        ),
        (
            "sweep",
            ["alpha 0.20 seed 0", "alpha 0.50 seed 0", "alpha 0.80 seed 0"],
            ["alpha vs. test/accuracy", "alpha vs. val/accuracy", "alpha vs. test/log_loss", "alpha vs. val/log_loss"],
        ),
        ("tune", TRIALS, ["learning_rate vs. objective", "alpha vs. objective"]),
    ],
    ids=["train", "sweep", "tune"],
)
def test_the_charts_of_a_view_are_drawn_from_the_stores_values(
    seen: Seen, job: str, runs: list[str], charts: list[str]
) -> None:
    """Each has a mark for each run: a bar or a point; of a curve, a point for each epoch."""
    seen.browser.resize(1600, 1600)
    seen.open(f"{seen.page(job)}&compareRunsMode=CHART")
    found = seen.browser.wait(CHARTS, len(charts))
    seen.browser.picture(f"charts-{job}")
    assert [chart["title"] for chart in found] == charts
    for chart in found:
        expected = dict(seen.mark(chart["title"], run) for run in map(seen.run, runs))
        assert chart["values"] == expected, chart["title"]
        assert chart["drawn"] == (len(runs) * EPOCHS if chart["title"] == "val_loss" else len(runs))


def test_a_runs_page_has_its_heatmap(seen: Seen) -> None:
    seen.browser.resize(1400, 1000)
    late = seen.run("late").info
    seen.open(run_page(late.experiment_id, late.run_id, "figures/confusion.png"))
    assert seen.browser.wait("return [...document.images].some(image => image.complete && image.naturalWidth > 800)")
    seen.browser.picture("heatmap")


LINK = """
const links = [...document.querySelectorAll('.note-editor-preview-content a')];
return links.find(link => link.hash.includes(arguments[0]))?.href;
"""
"""Where a link of the note leads, not one of MLflow's own; it opens in another tab."""

HEADING = "return [...document.querySelectorAll('h1, h2, h3')].some(h => h.innerText.trim() == arguments[0]);"


def test_the_note_of_a_run_leads_to_its_relatives(seen: Seen) -> None:
    """From a seed to the run of all seeds, and from there to the page that used it."""
    browser, seed = seen.browser, seen.run("baseline seed 1").info
    browser.resize(1400, 1000)
    seen.open(run_page(seed.experiment_id, seed.run_id))
    for name in ("baseline", "report"):
        address = browser.wait(LINK, seen.run(name).info.run_id)
        browser.picture(f"note-to-{name}")
        browser.open(address)
        assert browser.wait(HEADING, name)
    browser.enter("iframe")
    assert browser.wait(HEADING, "The study's claims") and browser.js("return document.querySelectorAll('td').length")
    browser.leave()
    browser.picture("page-in-the-ui")


ROW = """
const cells = [...document.querySelectorAll('[role=rowgroup] > div')];
const top = cell => Math.round(cell.getBoundingClientRect().top);
const head = cells.find(cell => cell.innerText.trim() == arguments[0]);
return head && cells.filter(cell => top(cell) == top(head)).map(cell => cell.innerText.trim());
"""
"""The cells of MLflow's comparison beside the name of a metric, and this."""


def test_two_runs_compared(seen: Seen) -> None:
    """MLflow's own comparison has the scores of both."""
    seen.browser.resize(1400, 2400)
    pair = [seen.run(name) for name in ("audio_only", "late")]
    ids = ",".join(f"%22{run.info.run_id}%22" for run in pair)
    seen.open(f"compare-runs?runs=[{ids}]&experiments=[%22{seen.experiment}%22]")
    name, *values = seen.browser.wait(ROW, "test/accuracy")
    seen.browser.picture("two-runs")
    assert (name, *map(float, values)) == ("test/accuracy", *(run.data.metrics["test/accuracy"] for run in pair))


EDGES = """
const shown = [...document.querySelectorAll(arguments[0])];
return shown.length && shown.map(element => element.getBoundingClientRect().right);
"""
"""How far to the right each element of a kind reaches, in pixels."""


@pytest.mark.parametrize("job", ["report", "compare"])
def test_pages_print_whole_tables_and_figures(seen: Seen, job: str) -> None:
    browser = seen.browser
    browser.resize(PAPER, 1000)
    browser.media("print")
    browser.open((seen.folder / job / "report.html").as_uri())
    tables, pictures = (browser.wait(EDGES, kind) for kind in ("table", "img"))
    browser.picture(f"paper-{job}")
    file = browser.print(job)
    browser.media("screen")
    assert file.read_bytes().startswith(b"%PDF") and len(tables) > 3
    assert max(*tables, *pictures) <= PAPER
