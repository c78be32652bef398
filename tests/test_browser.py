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
FAST = "epochs=4,batch_size=32"
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
        space = "alpha=0.1:0.9,learning_rate=1e-4:1e-2,dropout=0.1,hidden=16,embedding=16,epochs=4,batch_size=32"
        lines["tune"] = run_job("tune", variant="late", trials="6", space=space, retrain="0", **on)
        for job in ("compare", "report"):
            lines[job] = run_job(job, experiment=NAME, output=job)
    with browsers.mlflow_ui(tracking_uri, folder) as ui, browsers.browser(pictures) as browser:
        yield Seen(browser, ui, folder, lines)
    mlflow.set_experiment(EXPERIMENT)


CELLS = """
const rows = {};
for (const cell of document.querySelectorAll('.ag-row [col-id]')) {
  const row = cell.closest('.ag-row').getAttribute('row-index');
  (rows[row] ||= {})[cell.getAttribute('col-id')] = cell.innerText.trim();
}
const order = Object.keys(rows).sort((a, b) => a - b).map(row => rows[row]);
return order.length == arguments[0] && order;
"""
"""The table of runs: for each row, in order, its cells by column; once there are so many."""

COLUMNS = """
const cells = [...document.querySelectorAll('.ag-header-cell')];
const left = cell => cell.getBoundingClientRect().left;
return cells.sort((a, b) => left(a) - left(b)).map(cell => cell.getAttribute('col-id') ?? '');
"""


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
            ["tags.avfusion.outcome", "metrics.objective", "params.alpha", "params.learning_rate",
             "metrics.val/accuracy", "metrics.val/log_loss", "metrics.epochs"],
            [f"trial {number}" for number in range(6)],
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
    shown = [column for column in seen.browser.js(COLUMNS) if column.partition(".")[0] in KINDS]
    assert [column.replace("`", "") for column in shown] == columns
    names = [row["attributes.`Run Name`"] for row in rows]
    assert sorted(names) == runs
    for name, row in zip(names, rows, strict=True):
        data = seen.run(name).data
        for column in columns:
            kind, _, key = column.partition(".")
            text, value = row[f"{kind}.`{key}`"], getattr(data, kind).get(key)
            if value is None:
                assert text in ("", "-")
            elif kind == "metrics":
                assert float(text) == pytest.approx(value)
            else:
                assert text == value


KINDS = ("metrics", "params", "tags")


@pytest.mark.parametrize(
    ("job", "charts", "runs"), [("train", 5, 4), ("sweep", 4, 3), ("tune", 2, 6)], ids=["train", "sweep", "tune"]
)
def test_the_charts_of_a_view_are_drawn(seen: Seen, job: str, charts: int, runs: int) -> None:
    """Each has a mark for each run: a bar, a line or a point."""
    seen.browser.resize(1600, 1100)
    seen.open(f"{seen.page(job)}&compareRunsMode=CHART")
    marks = seen.browser.wait(MARKS, charts, runs)
    seen.browser.picture(f"charts-{job}")
    assert marks == [runs] * charts


MARKS = """
const charts = [...document.querySelectorAll('.js-plotly-plot')].slice(0, arguments[0]);
const marks = charts.map(chart => chart.querySelectorAll('.barlayer .point, .scatterlayer .trace').length);
return marks.length == arguments[0] && Math.min(...marks) >= arguments[1] && marks;
"""


def test_a_runs_page_has_its_heatmap(seen: Seen) -> None:
    seen.browser.resize(1400, 1000)
    late = seen.run("late").info
    seen.open(run_page(late.experiment_id, late.run_id, "figures/confusion.png"))
    assert seen.browser.wait("return [...document.images].some(image => image.complete && image.naturalWidth > 800)")
    seen.browser.picture("heatmap")


def test_the_note_of_a_run_leads_to_its_relatives(seen: Seen) -> None:
    """From a seed to the run of all seeds, and from there to the page that used it."""
    seen.browser.resize(1400, 1000)
    seed = seen.run("baseline seed 1").info
    seen.open(run_page(seed.experiment_id, seed.run_id))
    for words, arrived in (("baseline", seen.run("baseline")), (None, seen.run("report"))):
        target = arrived.info.run_id
        found = seen.browser.wait(LINK, target)
        assert words is None or found == words
        seen.browser.picture(f"note-to-{arrived.info.run_name}")
        seen.browser.js(f"{LINK.replace('return link &&', 'link.click(); return')}", target)
        seen.browser.wait("return location.hash.includes(arguments[0])", target)
    seen.browser.wait("return document.querySelector('iframe') !== null")
    seen.browser.picture("page-in-the-ui")


LINK = """
const link = [...document.querySelectorAll('a')].find(a => a.hash.includes(arguments[0]));
return link && link.innerText;
"""


def test_two_runs_compared(seen: Seen) -> None:
    """MLflow's own comparison has every score of both."""
    seen.browser.resize(1400, 1600)
    pair = [seen.run(name) for name in ("audio_only", "late")]
    ids = ",".join(f"%22{run.info.run_id}%22" for run in pair)
    seen.open(f"compare-runs?runs=[{ids}]&experiments=[%22{seen.experiment}%22]")
    seen.browser.wait("return document.body.innerText.includes('test/accuracy')")
    text = seen.browser.js("return document.body.innerText")
    seen.browser.picture("two-runs")
    for run in pair:
        assert run.info.run_name in text and f"{run.data.metrics['test/accuracy']:.3f}".rstrip("0") in text


@pytest.mark.parametrize("job", ["report", "compare"])
def test_pages_print_whole_tables(seen: Seen, job: str) -> None:
    browser = seen.browser
    browser.resize(PAPER, 1000)
    browser.media("print")
    browser.open((seen.folder / job / "report.html").as_uri())
    tables = browser.wait("return [...document.querySelectorAll('table')].map(table => table.getBoundingClientRect())")
    browser.picture(f"paper-{job}")
    file = browser.print(f"{job}")
    browser.media("screen")
    assert file.read_bytes().startswith(b"%PDF") and len(tables) > 3
    assert max(table["right"] for table in tables) <= PAPER
