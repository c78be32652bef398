"""The job `export`: a feature store as the course's HDF5 files."""

from pathlib import Path

from avfusion.features.hdf5 import export_features
from avfusion.jobs.features import open_features


def export_job(*, features: Path, output: Path) -> list[str]:
    """Write the feature store `features` into the new folder `output`, as HDF5 files in the layout of the course.

    Returns the lines to show. Raises `UserError` if the store cannot be read or the folder not written.
    """
    folder = export_features(open_features(features), output)
    return [f"HDF5     {folder}", f"next     python -m entrypoints.train --features {folder}"]
