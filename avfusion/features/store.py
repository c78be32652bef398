"""Reading a feature store.

N   clips
T   frames of one clip; D features of a frame
"""

import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from avfusion.errors import UserError
from avfusion.features.digest import content_digest
from avfusion.features.layout import (
    ARRAYS,
    CLIP_COLUMNS,
    CLIPS,
    FAILURE_COLUMNS,
    FAILURES,
    FIRST_FRAMES,
    FORMAT,
    PLAN,
    STANDARDIZATION,
    STORE,
    Json,
    Modality,
)
from avfusion.features.provenance import check_provenance
from avfusion.system.files import read_object, refuse_larger

if TYPE_CHECKING:
    import pandas as pd


_COUNT = re.compile("[0-9]{1,12}")
_AGAIN = "delete it and extract again"

MOST_MEBIBYTES = 16
"""Size of `STANDARDIZATION`: two numbers for each dimension of the features."""


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
        digest: SHA-256 (hexadecimal) of the content, which was compared with it.
        first_frames: how many frames of a clip are learned from, as the makers of imported features do; None
            for all. Standardisation takes every frame in any case.
        standardization: per modality the mean and standard deviation, float32 [D] each, that came
            with imported features; a modality that is not in it is standardised by the training clips.

    >>> store = FeatureStore.open("runs/features/NAME")
    >>> store.classes
    ('airport', 'bus', 'park')
    >>> store.clips[["id", "label", "location"]].iloc[0].to_list()
    ['airport-town-000-0', 'airport', 'airport-0']
    >>> store.frames("audio", 0).shape, store.frames("audio", 0).dtype
    ((5, 8), dtype('float32'))
    """

    def __init__(self, path: Path, header: Json, clips: "pd.DataFrame", failures: "pd.DataFrame") -> None:
        """Use `FeatureStore.open`."""
        self.path = path
        self.clips = clips
        self.failures = failures
        self.provenance: Json = header["provenance"]
        self.digest: str = header["digest"]
        self.first_frames: int | None = self.provenance.get("parameters", {}).get(FIRST_FRAMES)
        self._arrays = {name: _map(path / file) for name, file in ARRAYS.items()}
        self.standardization = _standardization(path, {name: array.shape[1] for name, array in self._arrays.items()})
        self._starts = {name: np.concatenate([[0], np.cumsum(clips[f"{name}_frames"])]) for name in ARRAYS}

    @classmethod
    def open(cls, path: str | Path) -> "FeatureStore":
        """Opens a finished store whose content is what its digest says (see `content_digest` on what that costs).

        Raises:
            UserError: nothing is there, the store is unfinished, of another format, damaged or changed.
        """
        path = Path(path).absolute()  # it is logged, and looked for from other folders
        header = _header(path)
        try:
            store = cls(path, header, _clips(path), _table(path / FAILURES, FAILURE_COLUMNS))
            for name, array in store._arrays.items():
                if len(array) != store._starts[name][-1]:
                    raise ValueError(f"{ARRAYS[name]} holds {array.dtype} {array.shape}, which clips.csv does not")
            found = content_digest(path)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            line = " ".join(str(error).split())
            raise UserError(f"the feature store {path.absolute()} is damaged: {line}; {_AGAIN}") from error
        if found != store.digest:
            raise UserError(
                f"the feature store {path.absolute()} was changed: its content has digest {found[:12]}, "
                f"store.json says {store.digest[:12]}; {_AGAIN}"
            )
        if store.clips.empty:
            raise UserError(f"the feature store {path.absolute()} is empty: it has no usable clip")
        return store

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
        header = read_object(file)
        version = header.get("format")
        if not isinstance(version, int):
            raise ValueError(f"its format is {version}")
        missing = {"digest", "provenance"} - set(header)
        if version == FORMAT and not missing:
            _check(header)
    except (OSError, ValueError) as error:
        raise UserError(f"{file.absolute()} is damaged ({error}); {_AGAIN}") from error
    if version > FORMAT:
        newer = f"has format {version}, this avfusion reads up to {FORMAT}"
        raise UserError(f"the feature store {path.absolute()} {newer}; install a newer avfusion")
    if version < FORMAT or missing:
        raise UserError(f"the feature store {path.absolute()} has a format that is no longer read; {_AGAIN}")
    return header


def _check(header: Json) -> None:
    """Raises ValueError for a store.json of this format that lacks what readers of stores ask it."""
    digest, provenance = header["digest"], header["provenance"]
    if not isinstance(digest, str) or not isinstance(provenance, dict):
        raise ValueError("its digest is no text, or its provenance no object")
    parameters = provenance.get("parameters", {})
    first_frames = parameters.get(FIRST_FRAMES) if isinstance(parameters, dict) else parameters
    if first_frames is not None and (not isinstance(first_frames, int) or first_frames < 1):
        raise ValueError(f"{FIRST_FRAMES} is {first_frames}")
    check_provenance(provenance)


def _clips(path: Path) -> "pd.DataFrame":
    """The table of the clips, with numbers of frames that can be right."""
    clips = _table(path / CLIPS, CLIP_COLUMNS)
    repeated = clips["id"][clips["id"].duplicated()]
    if len(repeated):
        raise ValueError(f"{CLIPS} has the clip {repeated.iloc[0]!r} twice")
    for column in ("audio_frames", "video_frames"):
        wrong = [text for text in clips[column] if not _COUNT.fullmatch(text)]
        if wrong:
            raise ValueError(f"{CLIPS} has {wrong[0]!r} as a number of frames")
        clips[column] = clips[column].astype(np.int64)
    return clips


def _table(path: Path, columns: tuple[str, ...]) -> "pd.DataFrame":
    """A CSV file as text: a label may be called "NA" or "1e3"."""
    import pandas as pd  # here: extraction's workers import this package, and pandas is most of their start

    # Without a header of its own, so that more cells than columns are a mistake: pandas would make an index of them.
    table = pd.read_csv(path, header=None, dtype=str, keep_default_na=False, encoding="utf-8").fillna("")
    if (found := tuple(table.iloc[0])) != columns:
        raise ValueError(f"{path.name} has the columns {', '.join(found)}")
    return table.iloc[1:].reset_index(drop=True).set_axis(list(columns), axis=1)


def _map(path: Path) -> NDArray[np.float32]:
    try:
        mapped = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # numpy evaluates the header, which raises whatever its text makes of Python
        raise ValueError(f"{path.name} has a damaged header ({error})") from error
    array: NDArray[np.float32] = mapped.view(np.ndarray)  # whose slices cost less than those of a memmap
    if array.ndim != 2 or array.dtype != np.dtype("<f4") or not array.flags.c_contiguous:
        raise ValueError(f"{path.name} holds {array.dtype} {array.shape} in place of float32 rows")
    return array


def _standardization(path: Path, widths: dict[str, int]) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Mean and standard deviation per modality, if the store holds them."""
    file = path / STANDARDIZATION
    if not file.exists():
        return {}
    refuse_larger(file, MOST_MEBIBYTES)
    arrays = load_file(file)
    found = {name: (arrays[f"{name}.mean"], arrays[f"{name}.std"]) for name in widths if f"{name}.mean" in arrays}
    if any(vector.shape != (widths[name],) for name, moments in found.items() for vector in moments):
        raise ValueError(f"{STANDARDIZATION} does not fit the features")
    return found
