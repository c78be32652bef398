"""One question to the cluster: a function that runs there, and what came of it.

Apart from what needs Ray Data: processes that answer questions import this file, and start in half the time without it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from avfusion import __version__
from avfusion.errors import UserError
from avfusion.media.container import one_line


class _Answer(NamedTuple):
    """What came of a function that ran on the cluster: its value, or its UserError's line, or another error's."""

    value: Any = None
    mistake: str = ""
    trouble: str = ""


def ask(function: Callable[[], Any], **options: Any) -> Any:
    """What `function` returns on the cluster, in a process by these options of Ray's.

    Raises:
        UserError: that of the function.
        RuntimeError: the function raised anything else; its line.
    """
    answer: _Answer = ray.get(ray.remote(_answer).options(**options).remote(function))
    if answer.mistake:
        raise UserError(answer.mistake)
    if answer.trouble:
        raise RuntimeError(answer.trouble)
    return answer.value


def here() -> NodeAffinitySchedulingStrategy:
    """Ray's option for the machine of this process."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def provenance(load: Callable[[], Any]) -> tuple[str, dict[str, Any]]:
    """A question: the version of avfusion there, and the provenance of the embedder that `load` gives."""
    return __version__, dict(load().provenance)


def _answer(function: Callable[[], Any]) -> _Answer:
    try:
        return _Answer(function())
    except UserError as error:
        return _Answer(mistake=str(error))
    except Exception as error:
        return _Answer(trouble=one_line(error))
