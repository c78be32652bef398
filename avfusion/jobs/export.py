"""The job `export`: a feature store as the course's HDF5 files."""

from pathlib import Path

from avfusion.features.hdf5 import export_features
from avfusion.jobs.features import open_features
from avfusion.tracking.starting import next_line


def export_job(*, features: Path, output: Path) -> list[str]:
    """Write the feature store `features` into the new folder `output`, as HDF5 files in the layout of the course.

    Returns the lines to show. Raises `UserError` if the store cannot be read or the folder not written.
    """
    folder = export_features(open_features(features), output.absolute())
    return [f"HDF5     {folder}", next_line("train", features=folder)]
