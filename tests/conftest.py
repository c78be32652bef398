"""What tests share: one thread each, the order of their files, and what takes seconds to make: one MLflow database."""

import os
import resource
import signal
import sys
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch

from avfusion.l3.untrained import untrained_subnetwork

torch.set_num_threads(1)
# Where the tests are started in the background or under nohup, signals are ignored, and the programs that they start
# would ignore them too. A handler is not inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)
_PATH = list(sys.path)
SLOWEST = ("extraction_ray", "tune_job", "browser", "predict_job", "embedders", "huggingface", "report", "interruption")
"""Files of tests that take from twenty seconds to minutes, the slowest first."""


def pytest_configure(config: pytest.Config) -> None:
    """xdist, where it shares out files, does so in their order here; by itself it would begin with many quick tests."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files come first, so that no process is left alone with one in the end."""
    places = {f"test_{name}": place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An MLflow database in a temporary folder, in force while the tests run."""
    folder: Path = tmp_path_factory.mktemp("mlflow")
    before = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    here = Path.cwd()
    os.chdir(folder)  # artifacts go to mlruns/ in the working directory
    from avfusion.tracking.session import connect

    connect()
    os.chdir(here)
    yield os.environ["MLFLOW_TRACKING_URI"]
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session", autouse=True)
def untrained_networks() -> Iterator[None]:
    """Untrained L3 networks, each of which takes seconds, are made once; whoever loads one gets a copy."""
    made = cache(untrained_subnetwork)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avfusion.l3.loading.untrained_subnetwork", lambda *arguments: deepcopy(made(*arguments)))
        yield


@pytest.fixture(autouse=True)
def no_experiment_left() -> None:
    """MLflow notes the experiment of the test before, where the next job, in whatever process, takes it for ours."""
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)


@pytest.fixture(autouse=True)
def no_code_of_a_model_left() -> Iterator[None]:
    """MLflow puts the code of a model that it loads before ours, where the workers of later tests would import it.

    Fixtures of modules load models too, so that what was there at the start is what counts.
    """
    sys.path[:] = _PATH
    yield
    sys.path[:] = _PATH


@pytest.fixture(autouse=True)
def no_limit_left() -> Iterator[None]:
    """The programs that later tests start would inherit it: Chromium's driver ends where address space is limited."""
    before = _limits()
    yield
    assert _limits() == before


def _limits() -> dict[int, tuple[int, int]]:
    kinds = (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_FSIZE, resource.RLIMIT_STACK)
    return {kind: resource.getrlimit(kind) for kind in kinds}
