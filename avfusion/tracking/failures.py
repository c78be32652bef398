"""What happens where MLflow does not take what is logged: a bounded wait, then one line."""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
from mlflow.exceptions import MlflowException
from requests import RequestException
from sqlalchemy.exc import SQLAlchemyError

from avfusion.errors import UserError
from avfusion.system.secrets import masked

FAILURES = (MlflowException, RequestException, SQLAlchemyError)
"""What MLflow raises where its server or database fails."""

RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
WAITING = {RETRIES: "3", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "4", "MLFLOW_HTTP_REQUEST_TIMEOUT": "12"}
"""How a server that does not answer is waited for: half a minute (0 + 8 + 16 s between four attempts) if it is down, a
minute and a half (12 s more for each attempt, and for one to end the run) if it takes requests and stays silent.
MLflow's own settings: four minutes, and twenty."""


class TrackingError(UserError):
    """MLflow did not take what was logged.

    Attributes:
        gone: whether it does not even answer, so that more calls would only wait as long again.
    """

    gone = False


def bound_waiting() -> None:
    """Set `WAITING` where the user has not set it, and silence what libraries say of each attempt."""
    for name, value in WAITING.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it logs whole tracebacks


@contextmanager
def tracked() -> Iterator[None]:
    """What MLflow raises inside, as a `TrackingError` that names the store and the first cause."""
    try:
        yield
    except FAILURES as error:
        cause: BaseException = error
        while (deeper := cause.__cause__ or cause.__context__) is not None:
            cause = deeper
        raise _failure(cause) from error


@contextmanager
def storing() -> Iterator[None]:
    """What the system refuses while an artifact is written inside, such as a full disk, as a `TrackingError`."""
    try:
        yield
    except RequestException:  # an OSError too, which `tracked` knows
        raise
    except shutil.Error as error:
        found = error.args[0]  # of a whole folder: a list of (from, to, reason)
        raise _failure(found[0][2] if isinstance(found, list) else found) from error
    except OSError as error:
        raise _failure(error) from error


def _failure(reason: object) -> TrackingError:
    line = next(iter(str(reason).splitlines()), type(reason).__name__)
    return TrackingError(
        masked(f"MLflow at {mlflow.get_tracking_uri()} failed ({line}); mend that, then run the same command again")
    )


@contextmanager
def at_once() -> Iterator[None]:
    """No request is tried twice inside."""
    before = os.environ.get(RETRIES)
    os.environ[RETRIES] = "0"
    try:
        yield
    finally:
        del os.environ[RETRIES]
        if before is not None:
            os.environ[RETRIES] = before
