"""What the entry points do, one file each: a public function `<entry point>_job` that returns lines to show.

Their arguments are the options of `entrypoints.options`, parsed into Python values. Nothing here is needed by another
room.
"""

from pathlib import Path

RUNS = Path("runs")
"""Folder, in the working directory, of everything that was not given another place."""
