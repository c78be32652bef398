"""Saved views of the MLflow UI, as their tags tell; `tests/test_browser.py` looks at them."""

import base64
import json
import logging
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from avfusion.tracking.views import PAGES, SWEEP, TAG, VARIANTS, save_view, trials_view, view_lines

VIEWS = (VARIANTS, SWEEP, PAGES, trials_view('it\'s "ours"', "0" * 32, ["alpha", "learning_rate"]))


@pytest.fixture
def experiment(tracking_uri: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The id of an experiment of this test alone."""
    client = MlflowClient()
    made = str(client.create_experiment(f"views {request.node.name}"))
    yield made
    client.delete_experiment(made)


def saved(experiment: str) -> dict[str, str]:
    tags = MlflowClient().get_experiment(experiment).tags
    return {key.removeprefix(TAG): value for key, value in tags.items() if key.startswith(TAG)}


def state(value: str) -> dict[str, Any]:
    """What the UI reads from a view."""
    method, _, packed = json.loads(value)["state"].partition(";")
    assert method == "deflate"
    read: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return read


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.key)
def test_mlflow_understands_a_view(experiment: str, view: Any) -> None:
    assert save_view(experiment, view)
    found = state(saved(experiment)[view.key])
    order = f"{found['orderByKey']} {'ASC' if found['orderByAsc'] else 'DESC'}"
    assert mlflow.search_runs([experiment], found["searchFilter"], order_by=[order], output_format="list") == []
    sections = {section["uuid"] for section in found["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in found["compareRunCharts"]} <= sections
    assert len({chart["uuid"] for chart in found["compareRunCharts"]}) == len(view.charts)


def test_a_view_is_written_once(experiment: str) -> None:
    (address,) = view_lines(experiment, VARIANTS)[1:]
    assert address.endswith(f"#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey=variants")
    before = saved(experiment)
    assert view_lines(experiment, VARIANTS, SWEEP)[1] == address
    assert before.items() <= saved(experiment).items() and set(saved(experiment)) == {"variants", "alpha-sweep"}


def test_a_view_of_an_earlier_version_is_renewed(experiment: str) -> None:
    save_view(experiment, replace(VARIANTS, columns=("metrics.seconds",)))
    save_view(experiment, VARIANTS)
    assert "metrics.`test/accuracy`" in state(saved(experiment)["variants"])["selectedColumns"]


def test_a_view_that_a_person_changed_stays(experiment: str) -> None:
    """The UI writes the four fields that it knows, and drops any other."""
    save_view(experiment, VARIANTS)
    fields = json.loads(saved(experiment)["variants"])
    theirs = json.dumps({key: fields[key] for key in ("name", "createdAt", "updatedAt", "state")})
    MlflowClient().set_experiment_tag(experiment, TAG + "variants", theirs)
    assert save_view(experiment, replace(VARIANTS, columns=()))
    assert saved(experiment)["variants"] == theirs


@pytest.mark.parametrize("theirs", ["another format", '{"view": 4}', "[1]"])
def test_another_format_is_told_and_stays(experiment: str, theirs: str, caplog: pytest.LogCaptureFixture) -> None:
    MlflowClient().set_experiment_tag(experiment, TAG + "variants", theirs)
    lines = view_lines(experiment, VARIANTS)
    assert lines[-1].endswith("/runs?workflowType=machine_learning") and saved(experiment)["variants"] == theirs
    assert warnings(caplog) == [
        "view 'Variants' is in another format than that of MLflow 3.17, and stays as it is; the address opens the "
        "plain table of runs"
    ]


@pytest.mark.parametrize(("version", "shown"), [("3.18.0", "3.18.0"), ("", "unknown")])
def test_the_ui_of_another_mlflow(
    experiment: str, version: str, shown: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("avfusion.tracking.views.ui_version", lambda: version)
    lines = view_lines(experiment, VARIANTS)
    assert lines[-1].endswith("/runs?workflowType=machine_learning") and saved(experiment) == {}
    assert warnings(caplog) == [
        f"view 'Variants' is not saved: views are in the format of MLflow 3.17, and the UI's is {shown}; the address "
        "opens the plain table of runs"
    ]


def test_a_view_that_mlflow_does_not_take(
    experiment: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise MlflowException("no more tags\nat all")

    monkeypatch.setattr(MlflowClient, "set_experiment_tag", refuse)
    assert view_lines(experiment, VARIANTS)[-1].endswith("/runs?workflowType=machine_learning")
    assert warnings(caplog) == [
        "view 'Variants' is not saved (no more tags); the address opens the plain table of runs"
    ]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
