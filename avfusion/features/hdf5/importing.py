"""HDF5 features into a feature store."""

from contextlib import ExitStack
from pathlib import Path
from typing import get_args

import numpy as np
from tqdm import tqdm

from avfusion.errors import UserError
from avfusion.features import FeatureStore, Modality
from avfusion.features.hdf5.folder import FOLDERS, SPLIT_FILES, feature_files, import_digest
from avfusion.features.hdf5.matching import Files, Source, match_clips
from avfusion.features.hdf5.moments import RunningMoments, Vector, read_moments
from avfusion.features.hdf5.reading import FeatureFile
from avfusion.features.layout import FIRST_FRAMES, Json
from avfusion.features.parts import Features, Part, no_features
from avfusion.features.writer import writing

_MODALITIES: tuple[Modality, ...] = get_args(Modality)


def import_features(
    folder: str | Path,
    output: str | Path,
    *,
    modalities: str = "both",
    allow_outside: bool = False,
    progress: bool = True,
) -> FeatureStore:
    """Writes the features of `folder` to the store `output`, or returns it if that was done before.

    A clip whose partner in the other modality is missing is listed in failures.csv, or kept without it
    for modalities="any". The store keeps `global_mean_std.npz`; without that file, the population mean
    and deviation over all frames of train.hdf5 (the course's rule: validation is left out). Where validation
    or test clips are still to be drawn from train.hdf5, for want of others, it keeps neither: training
    standardises by the clips that remain for it.

    The store keeps every frame, since standardisation takes them all, and says that the first
    `COURSE_FRAMES` of a clip are learned from, as the course does; our own exports say themselves what counts.

    Raises:
        UserError: files are missing, laid out in another way, or lead out of the folder, or `output`
            holds something else.
    """
    root = Path(folder).absolute()
    with ExitStack() as stack:
        files: Files = {
            modality: {
                split: stack.enter_context(FeatureFile(path, modality))
                for split, path in feature_files(root, modality, allow_outside=allow_outside).items()
            }
            for modality in _MODALITIES
        }
        sources, dataset = match_clips(root, files)
        if not sources:
            raise UserError(f"{root} holds HDF5 files without a clip; expected <label>/audio/<stem> in them")
        moments = {modality: read_moments(root, modality, allow_outside=allow_outside) for modality in _MODALITIES}
        limits = [file.first_frames for splits in files.values() for file in splits.values() if file.first_frames]
        plan: Json = {
            "embedder": {"name": "imported", "weights": "unknown", "trained": True},
            "dataset": {
                "name": dataset.name,
                "synthetic": any(file.synthetic for splits in files.values() for file in splits.values()),
                "clips": len(sources),
                "digest": dataset.digest,
                "media": import_digest(root),
            },
            "parameters": {
                "modalities": modalities,
                "standardization": {name: "given" if moments[name] else "computed" for name in _MODALITIES},
                **({FIRST_FRAMES: min(limits)} if limits else {}),
            },
        }
        with writing(Path(output)) as writer:
            writer.begin(plan)
            if writer.complete:
                writer.tidy()
            else:
                reader = _Reader(files, modalities)
                parts = (reader.part(source, clip.id) for source, clip in zip(sources, dataset.clips, strict=True))
                writer.pack(dataset, tqdm(parts, "importing", len(sources), unit="clip", disable=not progress))
                writer.close(dataset, plan, reader.standardization(moments))
    return FeatureStore.open(output)


class _Reader:
    """Reads clip after clip, adding up what training clips hold."""

    def __init__(self, files: Files, modalities: str) -> None:
        self._files, self._modalities = files, modalities
        self._running = {modality: RunningMoments() for modality in _MODALITIES}
        self._widths: dict[Modality, int] = {}
        self._splits: set[str] = set()

    def part(self, source: Source, clip_id: str) -> Part:
        """One clip's features, or the reason why there are none."""
        found: dict[Modality, Features] = {}
        problems = []
        for modality in _MODALITIES:
            try:
                found[modality] = self._features(source, modality)
            except ValueError as error:
                problems.append(f"no {modality}: {error}")
        note = "; ".join(problems)
        if problems and (self._modalities == "both" or not found):
            return Part(clip_id, reason=note)
        self._splits.add(source.split)
        return Part(clip_id, "", note, found.get("audio", no_features()), found.get("video", no_features()))

    def standardization(self, given: dict[Modality, tuple[Vector, Vector] | None]) -> dict[str, Vector]:
        """For `StoreWriter.close`: what was given, else what was added up, unless other splits are drawn from that."""
        arrays: dict[str, Vector] = {}
        for modality in _MODALITIES:
            width = self._widths.get(modality, 0)
            moments = given[modality]
            if moments is None and self._splits.issuperset(SPLIT_FILES):
                moments = self._running[modality].result()
            if moments is None:
                continue
            mean, std = moments
            if len(mean) != width:
                raise UserError(
                    f"global_mean_std.npz of {FOLDERS[modality]} has {len(mean)} values, the features have {width}; "
                    "delete it and they are computed"
                )
            arrays |= {f"{modality}.mean": mean, f"{modality}.std": np.where(std > 0, std, np.float32(1))}
        return arrays

    def _features(self, source: Source, modality: Modality) -> Features:
        if modality not in source.found:
            file = self._files[modality].get(source.split)
            name = file.path.name if file else SPLIT_FILES[source.split][0]
            raise ValueError(f"{FOLDERS[modality]}/{name} has no {source.key.label}/{modality}/{source.key.stem}")
        features = self._files[modality][source.split].frames(source.key)
        if not np.isfinite(features).all():
            raise ValueError("values that are not finite")
        width = self._widths.setdefault(modality, features.shape[1])
        if features.shape[1] != width:
            raise ValueError(f"frames of {features.shape[1]} values; clips before have {width}")
        if source.split == "train":
            self._running[modality].add(features)
        return features
