"""Processes beside each other."""

import multiprocessing
import os
from multiprocessing.context import BaseContext


def training_processes(*modules: str) -> BaseContext:
    """Makes processes that are forked from one that has imported `modules` and done nothing else.

    So they start at once, as often as needed. Where a system cannot do that, each imports for itself.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # The last is what torch's optimisers import, for seconds, when the first of them is made.
    context.set_forkserver_preload([*modules, "torch._dynamo"])
    return context


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
