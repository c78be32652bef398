"""What jobs that train read: a feature store, or HDF5 features, which are imported first."""

import logging
from pathlib import Path

from avfusion.features import FeatureStore
from avfusion.features.hdf5 import import_digest, import_features, is_features_folder
from avfusion.jobs import RUNS

_log = logging.getLogger(__name__)


def open_features(path: Path, *, allow_outside: bool = False) -> FeatureStore:
    """The feature store at `path`, or the one under runs/ that a folder of HDF5 features is imported into.

    The import is named after the files, their sizes and dates, and is done once. With `allow_outside` its files may be
    links to other folders. Raises `UserError` for a folder that is neither.
    """
    if not is_features_folder(path):
        return _told(FeatureStore.open(path))
    target = RUNS / "features" / f"{path.absolute().name}-hdf5-{import_digest(path)[:8]}"
    store = import_features(path, target, allow_outside=allow_outside)
    n_failed = len(store.failures)
    _log.info("features imported from HDF5: %s; %d clips, failed_clips=%d", store.path, len(store.clips), n_failed)
    if n_failed:
        first = store.failures.iloc[0]
        _log.warning("reasons: %s; the first is %s: %s", store.path / "failures.csv", first["id"], first["reason"])
    return _told(store)


def _told(store: FeatureStore) -> FeatureStore:
    """The store, after a line where not every frame of it is learned from."""
    if store.first_frames is not None:
        n_longer = int((store.clips[["audio_frames", "video_frames"]].max(axis=1) > store.first_frames).sum())
        if n_longer:
            _log.info(
                "%d of %d clips are cut to their first %d frames, as the course does; standardisation takes all",
                n_longer, len(store.clips), store.first_frames,
            )  # fmt: skip
    return store
