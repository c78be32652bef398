"""Reading a feature store.

N   clips
T   frames of one clip; D features of a frame
"""

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from avfusion.errors import UserError
from avfusion.features.layout import (
    ARRAYS,
    CLIP_COLUMNS,
    CLIPS,
    FAILURES,
    FORMAT,
    PLAN,
    STANDARDIZATION,
    STORE,
    Json,
    content_digest,
)

if TYPE_CHECKING:
    import pandas as pd

Modality = Literal["audio", "video"]


class FeatureStore:
    """Features of the clips of one dataset by one embedder, read through memory maps.

    Attributes:
        path: the folder.
        clips: one row per usable clip: id, label, location, split ("" where the dataset leaves it
            open), audio, video (files relative to the dataset's root), audio_frames, video_frames
            (0 where the modality is missing) and note (damage, or "").
        failures: id and reason of the clips that could not be used.
        provenance: "embedder" (its own provenance), "dataset" (name, synthetic, digest of the clip
            list), "parameters" of the extraction, "root" of the data, "avfusion" version.
        digest: SHA-256 (hexadecimal) of the content.
        standardization: per modality the mean and standard deviation, float32 [D] each, that came
            with imported features; empty for extracted ones, where training computes its own.
    """

    def __init__(self, path: Path, header: Json, clips: "pd.DataFrame") -> None:
        """Use `FeatureStore.open`."""
        self.path = path
        self.clips = clips
        self.provenance: Json = header["provenance"]
        self.digest: str = header["digest"]
        self._arrays = {name: _map(path / file) for name, file in ARRAYS.items()}
        self.standardization = _standardization(path, {name: array.shape[1] for name, array in self._arrays.items()})
        self._starts = {name: np.concatenate([[0], np.cumsum(clips[f"{name}_frames"])]) for name in ARRAYS}

    @classmethod
    def open(cls, path: str | Path) -> "FeatureStore":
        """Opens a finished store after a cheap check of its sizes.

        Raises:
            UserError: nothing is there, the store is unfinished, of another format, or damaged.
        """
        path = Path(path)
        header = _header(path)
        try:
            clips = _table(path / CLIPS)
            clips[["audio_frames", "video_frames"]] = clips[["audio_frames", "video_frames"]].astype(np.int64)
            store = cls(path, header, clips)
            for name, array in store._arrays.items():
                if array.dtype != np.float32 or len(array) != store._starts[name][-1]:
                    raise ValueError(f"{ARRAYS[name]} holds {array.dtype} {array.shape}, which clips.csv does not")
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise UserError(f"the feature store {path.absolute()} is damaged: {error}; extract again") from error
        if clips.empty:
            raise UserError(f"the feature store {path.absolute()} is empty: it has no usable clip")
        return store

    @cached_property
    def failures(self) -> "pd.DataFrame":
        """Columns id and reason: the clips that could not be used."""
        return _table(self.path / FAILURES)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels in alphabetical order."""
        return tuple(sorted(set(self.clips["label"])))

    @property
    def audio(self) -> NDArray[np.float32]:
        """Read-only float32 [sum of audio_frames, D]."""
        return self._arrays["audio"]

    @property
    def video(self) -> NDArray[np.float32]:
        """Read-only float32 [sum of video_frames, D]."""
        return self._arrays["video"]

    def frames(self, modality: Modality, index: int) -> NDArray[np.float32]:
        """The frames of clip number `index`: a view, float32 [T, D]."""
        starts = self._starts[modality]
        return self._arrays[modality][starts[index] : starts[index + 1]]

    def verify(self) -> None:
        """Reads everything and compares it with the digest.

        Raises:
            UserError: a byte changed since the store was written.
        """
        found = content_digest(self.path)
        if found != self.digest:
            raise UserError(
                f"the feature store {self.path.absolute()} was changed: its content has digest {found[:12]}, "
                f"store.json says {self.digest[:12]}; extract again"
            )


def _header(path: Path) -> Json:
    """The content of store.json, of a format that this version reads."""
    if not path.is_dir():
        raise UserError(f"feature store not found: {path.absolute()}")
    file = path / STORE
    if not file.is_file():
        if (path / PLAN).is_file():
            raise UserError(f"the feature store {path.absolute()} is unfinished; run the same extract command again")
        raise UserError(f"{path.absolute()} is not a feature store: it has no {STORE}")
    try:
        header: Json = json.loads(file.read_text(encoding="utf-8"))
        version = int(header["format"])
        missing = {"digest", "provenance"} - set(header)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file.absolute()} is damaged ({error}); extract again") from error
    if version > FORMAT:
        newer = f"has format {version}, this avfusion reads up to {FORMAT}"
        raise UserError(f"the feature store {path.absolute()} {newer}; install a newer avfusion")
    if version < FORMAT or missing:
        raise UserError(f"the feature store {path.absolute()} has a format that is no longer read; extract again")
    return header


def _table(path: Path) -> "pd.DataFrame":
    """A CSV file as text: a label may be called "NA" or "1e3"."""
    import pandas as pd  # here: extraction's workers import this package, and pandas is most of their start

    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    if path.name == CLIPS and tuple(table.columns) != CLIP_COLUMNS:
        raise ValueError(f"{path.name} has the columns {', '.join(table.columns)}")
    return table


def _map(path: Path) -> NDArray[np.float32]:
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    array: NDArray[np.float32] = mapped.view(np.ndarray)  # whose slices cost less than those of a memmap
    if array.ndim != 2:
        raise ValueError(f"{path.name} has {array.ndim} axes instead of 2")
    return array


def _standardization(path: Path, widths: dict[str, int]) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Mean and standard deviation per modality, if the store holds them."""
    file = path / STANDARDIZATION
    if not file.exists():
        return {}
    arrays = load_file(file)
    if any(arrays[f"{name}.{kind}"].shape != (width,) for name, width in widths.items() for kind in ("mean", "std")):
        raise ValueError(f"{STANDARDIZATION} does not fit the features")
    return {name: (arrays[f"{name}.mean"], arrays[f"{name}.std"]) for name in widths}
