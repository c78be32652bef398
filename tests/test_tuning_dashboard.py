"""What optuna-dashboard shows of studies: their storages, as its command names them, and notes; figures on a page."""

import shlex
from importlib.util import find_spec
from pathlib import Path

import optuna
import pytest
from optuna import Study
from optuna_dashboard import get_note, save_note
from optuna_dashboard._storage_url import get_storage

from avfusion.tuning import dashboard, interactive
from avfusion.tuning.dashboard import dashboard_lines, leave_note
from avfusion.tuning.interactive import interactive_page
from avfusion.tuning.storage import open_storage, resolve_storage
from avfusion.tuning.worker import quiet
from tests.test_tuning_figures import study as study_of_twelve


@pytest.fixture(params=["studies of mine.log", "sqlite:///studies of mine.db"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a storage, as `tune` knows it; of PostgreSQL see `test_tune_job`."""
    monkeypatch.chdir(tmp_path)
    return resolve_storage(str(request.param))


def test_the_command_names_the_storage_and_notes_are_seen(address: str) -> None:
    quiet()
    study = optuna.create_study(storage=open_storage(address), study_name="study")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    text = "[MLflow run](http://127.0.0.1:5000/#/)"
    leave_note(study, "of the study")
    leave_note(study, text, 1)
    program, named = shlex.split(dashboard_lines(address)[0].removeprefix("look     "))
    assert program == "optuna-dashboard"
    seen = optuna.load_study(storage=get_storage(named), study_name="study")
    assert [note_of(seen, number) for number in (None, 0, 1)] == ["of the study", "", text]
    assert not list(Path.cwd().glob("*.log.lock")), "the dashboard would take it for its own, and wait for 30 seconds"
    save_note(seen, "by a person")
    leave_note(study, "of the study")
    assert note_of(study, None) == "by a person"


def note_of(study: Study, number: int | None) -> str:
    """As the dashboard reads it."""
    if number is None:
        return str(get_note(study))
    return str(get_note(optuna.trial.Trial(study, study.trials[number]._trial_id)))


def test_without_the_package_the_command_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None)
    look, page = dashboard_lines("/it's.log")
    assert look.endswith("  # pip install optuna-dashboard") and page == "open     http://127.0.0.1:8080/dashboard"
    assert shlex.split(look, comments=True)[1:] == ["optuna-dashboard", "/it's.log"]


def test_figures_on_a_page_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_spec("plotly")
    page = (
        interactive_page(study_of_twelve(), "late <fusion>", "validation log loss", "epoch", "synthetic & small") or ""
    )
    assert page.count('class="plotly-graph-div"') == 8
    for stage, points in ((1, '"x":[1,2],"y":[2.0,1.5]'), (2, '"x":[1],"y":[1.0]')):
        assert f"Values by epoch, stage {stage} of training" in page and page.count(points) == 12
    assert "<h1" in page and "late &lt;fusion&gt;</h1>" in page and "synthetic &amp; small" in page
    assert "<script src=" not in page and 4e6 < len(page) < 7e6, "plotly's program once, and nothing from elsewhere"
    monkeypatch.setattr(interactive, "find_spec", lambda name: None)
    assert interactive_page(study_of_twelve(), "title", "metric", "epoch") is None
