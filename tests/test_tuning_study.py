"""A study's count of trials, and who finishes it, in the hands of processes that may die."""

import os
import platform
import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from numpy.typing import NDArray
from optuna.trial import TrialState

from avfusion.errors import UserError
from avfusion.features import FeatureStore
from avfusion.fusion import variants
from avfusion.scoring.predictions import Predictions
from avfusion.system.presence import gone, own_mark
from avfusion.training.answering import as_predictions
from avfusion.training.split_features import SplitFeatures
from avfusion.tuning.leader import LEADER, Leadership
from avfusion.tuning.plans import Plan
from avfusion.tuning.results import trials_table
from avfusion.tuning.sampling import MOST_RETRIES, STAGE, retry
from avfusion.tuning.space import Space, make_space
from avfusion.tuning.storage import open_storage, resolve_storage
from avfusion.tuning.study import (
    FAILURE,
    METRICS,
    WORKER,
    counted,
    done,
    is_surplus,
    may_start,
    n_done,
    open_study,
    recover,
    trial_metrics,
)
from avfusion.tuning.worker import Objective, SurplusError
from tests.stores import make_store

CPU = torch.device("cpu")


def small_space(**given: str) -> Space:
    return make_space(variants()["late"], {"epochs": "8", "hidden": "8|16", **given})


def plan_for(storage: Path | str, **changes: object) -> Plan:
    settings: dict[str, object] = {
        "name": "study", "variant": variants()["late"], "features": Path("features"), "features_digest": "abc",
        "space": small_space(), "metric": "log_loss",
        "sampler": "random", "pruner": "none", "n_trials": 4, "storage": str(storage),
    }  # fmt: skip
    return Plan(**{**settings, **changes})  # type: ignore[arg-type]


def dead_mark() -> dict[str, str | int]:
    """The mark of a process that has ended."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return {"host": platform.node(), "pid": pid, "born": "long ago"}


def test_the_default_is_the_first_trial_and_is_queued_once(tmp_path: Path) -> None:
    plan = plan_for(tmp_path / "journal")
    for _ in range(2):
        study = open_study(plan, open_storage(plan.storage))
    assert len(study.trials) == 1
    trial = study.ask()
    assert (trial.suggest_float("alpha", 0.1, 0.9), trial.suggest_float("dropout", 0.0, 0.6)) == (0.5, 0.2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variant": variants()["early"]}, "study 'study' is there already, with variant late, not early"),
        ({"features_digest": "def"}, "with features abc, not def; give another name, as study=NAME"),
        ({"metric": "accuracy"}, "with metric log_loss, not accuracy"),
        ({"space": small_space(alpha="0.3")}, "with space alpha=0.1:0.9, not alpha=0.3; give"),
        (
            {"space": small_space(precision="bf16")},
            "with space precision=float32, not precision=bf16;",
        ),
    ],
)
def test_another_study_under_the_same_name_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    plan = plan_for(tmp_path / "journal")
    open_study(plan, open_storage(plan.storage))
    with pytest.raises(UserError, match=message) as caught:
        open_study(plan_for(tmp_path / "journal", **changes), open_storage(plan.storage))
    assert "\n" not in str(caught.value)


def test_a_foreign_study_is_refused(tmp_path: Path) -> None:
    plan = plan_for(tmp_path / "journal")
    optuna.create_study(storage=open_storage(plan.storage), study_name="study").enqueue_trial({"x": 1})
    with pytest.raises(UserError, match="with variant nothing, not late"):
        open_study(plan, open_storage(plan.storage))


def test_what_counts(tmp_path: Path) -> None:
    plan = plan_for(tmp_path / "journal")
    study = open_study(plan, open_storage(plan.storage))
    complete, diverged, broken, running = (study.ask() for _ in range(4))
    study.tell(complete, 1.0)
    diverged.set_user_attr(FAILURE, "training diverged")
    study.tell(diverged, state=TrialState.FAIL)
    study.tell(broken, state=TrialState.FAIL)
    assert [done(trial) for trial in study.trials] == [True, True, False, False]
    assert [trial.number for trial in counted(study.trials)] == [0, 1, running.number]
    assert n_done(study) == 2 and may_start(plan, study)
    last, one_too_many = study.ask(), study.ask()
    assert not is_surplus(plan, study, last.number) and is_surplus(plan, study, one_too_many.number)
    assert not may_start(plan, study)


def test_a_surplus_trial_is_given_up_before_it_begins(tmp_path: Path) -> None:
    plan = plan_for(tmp_path / "journal", n_trials=1)
    study = open_study(plan, open_storage(plan.storage))
    study.tell(study.ask(), 1.0)
    objective = Objective(plan, SplitFeatures.__new__(SplitFeatures), CPU)
    study.optimize(objective, n_trials=1, catch=(SurplusError,))
    assert n_done(study) == 1 and len(counted(study.trials)) == 1 and len(trials_table(plan, study)) == 1


def test_a_trial_of_a_dead_process_is_queued_again(tmp_path: Path) -> None:
    plan = plan_for(tmp_path / "journal")
    study = open_study(plan, open_storage(plan.storage))
    trial, alive, elsewhere = study.ask(), study.ask(), study.ask()
    alpha = trial.suggest_float("alpha", 0.1, 0.9)
    trial.set_user_attr(WORKER, dead_mark())
    alive.set_user_attr(WORKER, own_mark())
    elsewhere.set_user_attr(WORKER, {**dead_mark(), "host": "another machine"})
    assert recover(study) == [0] and recover(study) == []
    again = next(trial for trial in study.trials if trial.state == TrialState.WAITING)
    assert again.user_attrs == {"retry_of": 0, "retries": 1}
    assert study.ask().suggest_float("alpha", 0.1, 0.9) == alpha
    assert [trial.state.name for trial in study.trials[:3]] == ["FAIL", "RUNNING", "RUNNING"]


def test_a_broken_trial_and_its_retry_count_once(tmp_path: Path) -> None:
    plan = plan_for(tmp_path / "journal")
    study = open_study(plan, open_storage(plan.storage))
    broken = study.ask()
    for _ in range(2):  # as if the first to notice had been killed between the two steps
        retry(study, study.trials[broken.number])
    assert len(study.trials) == 2 and [trial.number for trial in counted(study.trials)] == [1]
    study.tell(broken, 1.0)  # it was alive after all
    assert [trial.number for trial in counted(study.trials)] == [0, 1]


def test_retries_end() -> None:
    study = optuna.create_study()
    study.enqueue_trial({"x": 0.5})
    for _ in range(MOST_RETRIES + 1):
        trial = study.ask()
        study.tell(trial, state=TrialState.FAIL)
        retry(study, study.trials[trial.number])
    assert len(study.trials) == MOST_RETRIES + 1
    assert [trial.user_attrs.get("retry_of") for trial in study.trials] == [None, 0, 1, 2]


def test_another_machine_is_missed_when_its_heartbeat_stops(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'studies.db'}", heartbeat=60, grace=120)
    study = open_study(plan_for(""), storage)
    trial = study.ask()
    trial.set_user_attr(WORKER, {**dead_mark(), "host": "another machine"})
    storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]
    assert recover(study) == [] and study.trials[0].state == TrialState.RUNNING
    with closing(sqlite3.connect(tmp_path / "studies.db")) as database, database:
        database.execute("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-3 minutes')")
    recover(study)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "WAITING"]


def test_a_journal_line_that_a_kill_cut_short_is_mended(tmp_path: Path) -> None:
    plan = plan_for(tmp_path / "journal")
    study = open_study(plan, open_storage(plan.storage))
    before = (tmp_path / "journal").read_bytes()
    (tmp_path / "journal").write_bytes(before + b'{"op_code":4,"worker')
    for value in (1.0, 2.0):
        study.tell(study.ask(), value)
    reopened = open_study(plan, open_storage(plan.storage))
    assert [trial.value for trial in reopened.trials] == [1.0, 2.0]


def test_who_leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_for(tmp_path / "journal")
    study = open_study(plan, open_storage(plan.storage))
    first = Leadership(study)
    assert first.leads
    parent: dict[str, str | int] = {"host": platform.node(), "pid": os.getppid(), "born": ""}
    monkeypatch.setattr("avfusion.system.presence.born", lambda pid: "")
    assert not gone(parent)
    study.set_user_attr(LEADER, parent)
    second = Leadership(study)
    assert not second.leads and not first.leads
    second.release()
    assert study.user_attrs[LEADER] == parent
    study.set_user_attr(LEADER, dead_mark())
    third = Leadership(study)
    assert third.leads
    third.release()
    assert study.user_attrs[LEADER] is None


def test_a_leader_on_another_machine_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avfusion.tuning.leader.BEAT", 0.5)
    plan = plan_for(tmp_path / "journal")
    study = open_study(plan, open_storage(plan.storage))
    far = {"host": "another machine", "pid": 1, "born": ""}
    study.set_user_attr(LEADER, {**far, "beats": 3})
    beats = iter([{LEADER: {**far, "beats": n}} for n in (3, 4, 4, 4)])
    watched = type("Watched", (), {"user_attrs": property(lambda self: next(beats))})()
    assert not Leadership(watched).leads
    assert Leadership(study).leads  # it has not beaten since


def recording(
    original: Callable[[SplitFeatures, str], object], read: list[str]
) -> Callable[[SplitFeatures, str], object]:
    def record(self: SplitFeatures, split: str) -> object:
        read.append(split)
        return original(self, split)

    return record


def test_an_objective_sees_no_test_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path / "store", seed=1)
    plan = plan_for(tmp_path / "journal", features=tmp_path / "store")
    read: list[str] = []
    for name in ("pooled", "sequences", "ids"):
        monkeypatch.setattr(SplitFeatures, name, recording(getattr(SplitFeatures, name), read))

    def recorded(data: SplitFeatures, rows: NDArray[np.intp], answers: Any) -> Predictions:
        read.extend(data.splits[rows])
        return as_predictions(data, rows, answers)

    monkeypatch.setattr("avfusion.training.answering.as_predictions", recorded)
    study = open_study(plan, open_storage(plan.storage))
    study.optimize(Objective(plan, SplitFeatures(FeatureStore.open(store.path)), CPU), n_trials=1)
    assert study.trials[0].state == TrialState.COMPLETE
    assert set(read) == {"train", "val"}
    assert study.trials[0].value == study.trials[0].user_attrs["metrics"]["val/log_loss"]
    assert len(study.trials[0].intermediate_values) == 8


def test_later_stages_report_at_the_same_steps_in_every_trial(tmp_path: Path) -> None:
    variant = variants()["posthoc_late"]
    space = make_space(variant, {"epochs": "6", "patience": "2", "hidden": "8|16", "learning_rate": "0.5|0.4"})
    store = make_store(tmp_path / "store", seed=1)
    plan = plan_for(tmp_path / "journal", variant=variant, space=space)
    study = open_study(plan, open_storage(plan.storage))
    study.optimize(Objective(plan, SplitFeatures(store), CPU), n_trials=3)
    for trial in study.trials:
        steps = [divmod(step, STAGE) for step in trial.intermediate_values]
        assert {(0, 1), (1, 1)} <= set(steps) <= set(product((0, 1), range(1, 7)))


def test_a_trial_over_folds_is_scored_by_their_mean_and_never_sees_a_test_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(tmp_path / "store", seed=1, locations=8)
    data, plan = SplitFeatures(store), plan_for(tmp_path / "journal", folds=4)
    objective = Objective(plan, data, CPU)
    assert all((fold.splits == "test").tolist() == (data.splits == "test").tolist() for fold in objective.folds)
    study = open_study(plan, open_storage(plan.storage))
    study.optimize(objective, n_trials=2)
    for trial in study.trials:
        assert sorted(trial.intermediate_values) == [1, 2, 3, 4]
        assert trial.value == pytest.approx(np.mean(list(trial.intermediate_values.values())))
        assert trial.user_attrs["metrics"]["val/log_loss"] == trial.value and trial.user_attrs["metrics"]["folds"] == 4
    with pytest.raises(UserError, match="with folds 4, not none; give another name"):
        open_study(plan_for(tmp_path / "journal"), open_storage(plan.storage))


@pytest.mark.parametrize("narrowed", [True, False])
def test_only_the_defaults_are_called_default(tmp_path: Path, narrowed: bool) -> None:
    space = small_space() if narrowed else make_space(variants()["late"], {})
    study = open_study(plan_for(tmp_path / "journal", space=space), open_storage(str(tmp_path / "journal")))
    assert [trial.user_attrs["default"] for trial in study.trials] == [not narrowed]


def test_storages_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_storage(None) == str(tmp_path / "runs/tuning/studies.log")
    assert resolve_storage("journal:a.log") == resolve_storage("a.log") == str(tmp_path / "a.log")
    assert resolve_storage("sqlite:///a.db") == f"sqlite:///{tmp_path / 'a.db'}"
    assert resolve_storage("postgresql://user@host/db") == "postgresql+psycopg://user@host/db"


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("mysql://user@host/db", r"storage=mysql://user@host/db: unknown kind of storage; expected none"),
        ("postgresql://user@127.0.0.1:1/db", r"user@127.0.0.1:1/db does not answer \(.*; check"),
        ("postgresql://user:s3cr3t@127.0.0.1:1/db", r"storage=postgresql://user:\*\*\*@.*PGPASSFILE"),
        ("{folder}", "does not answer .*it is a folder, not a file"),
        ("{folder}/text", "does not answer .*it is not a journal of Optuna"),
        ("sqlite:///{folder}/text", "does not answer .*not a database"),
    ],
)
def test_storages_that_do_not_answer(tmp_path: Path, storage: str, message: str) -> None:
    (tmp_path / "text").write_text("something else")
    with pytest.raises(UserError, match=message) as caught:
        open_storage(resolve_storage(storage.format(folder=tmp_path)))
    assert "s3cr3t" not in str(caught.value) and "\n" not in str(caught.value)


def test_the_objective_of_a_trial_given_up_between_folds_is_a_mean(tmp_path: Path) -> None:
    plan = plan_for(tmp_path / "journal")
    study = open_study(plan, open_storage(plan.storage))
    trial = study.ask()
    for fold, value in enumerate((1.0, 2.0), 1):
        trial.report(value, fold)
    trial.set_user_attr(METRICS, {"val/log_loss": 1.5, "objective": 1.5})
    study.tell(trial, state=TrialState.PRUNED)
    (found,) = study.get_trials(states=(TrialState.PRUNED,))
    assert found.value == 2.0 and trial_metrics(found)["objective"] == 1.5
