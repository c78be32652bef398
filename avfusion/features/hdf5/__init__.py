"""Features in HDF5 files, as the DCASE 2021 baseline and the course (AI3611) hand them on: import and export.

Nothing here is used once a store is there.

    audio_features_data/{train,val,test}.hdf5     course; the baseline says tr, val, tt
    video_features_data/...
    */global_mean_std.npz                         global_mean and global_std, float [D]

A clip is the dataset "<label>/audio/<stem>" (video: "<label>/video/<stem>") of shape [T, D], or a group of
that name with one dataset [D] per frame, named by its number (the baseline's tr and val).
"""

from avfusion.features.hdf5.exporting import export_features
from avfusion.features.hdf5.folder import import_digest, is_features_folder
from avfusion.features.hdf5.importing import import_features

__all__ = ["export_features", "import_digest", "import_features", "is_features_folder"]
