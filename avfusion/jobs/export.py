"""The job `export`: a feature store as the course's HDF5 files."""

from avfusion.errors import UserError
from avfusion.features.hdf5 import export_features
from avfusion.jobs.features import open_features
from avfusion.jobs.options import read_output


def export_job(*, features: str, output: str) -> list[str]:
    """Write the feature store `features` to the new folder `output`; returns what to tell people.

    Raises `UserError` for input that cannot be used.
    """
    if output == "none":
        raise UserError("output: none given; name a new folder for the HDF5 files, as output=FOLDER")
    chosen = read_output(output)
    folder = export_features(open_features(features), chosen)
    return [f"HDF5     {folder}", f"next     python -m entrypoints.train --features {folder}"]
