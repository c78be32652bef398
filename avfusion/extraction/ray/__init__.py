"""Extraction on a Ray cluster; needs the extra `avfusion[ray]`. Nothing here is imported without it.

Only this folder imports ray.
"""

import os

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")

import ray  # after the above, which it reads while it is imported

__all__ = ["ray"]
