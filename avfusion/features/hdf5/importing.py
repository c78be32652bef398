"""HDF5 features into a feature store."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from avfusion.datasets import Clip, Dataset
from avfusion.errors import UserError
from avfusion.features import MODALITIES, FeatureStore, Modality, Required
from avfusion.features.hdf5.folder import FOLDERS, SPLIT_FILES, feature_files, import_digest
from avfusion.features.hdf5.matching import Files, Source, match_clips
from avfusion.features.hdf5.moments import RunningMoments, Vector, read_moments
from avfusion.features.hdf5.reading import FeatureFile
from avfusion.features.layout import FIRST_FRAMES, Json
from avfusion.features.parts import Features, Part, no_features
from avfusion.features.writer import writing
from avfusion.system.progress import show_progress

GivenMoments = Mapping[Modality, tuple[Vector, Vector] | None]
"""Modality -> mean and standard deviation [D] that came with the features, if they did."""


def import_features(
    folder: str | Path,
    output: str | Path,
    *,
    required: Required = "both",
    allow_outside: bool = False,
    progress: bool = True,
) -> FeatureStore:
    """Writes the features of `folder` to the store `output`, or returns it if that was done before.

    The store keeps `global_mean_std.npz`; without that file, the population mean and deviation over all frames of
    train.hdf5 (the course's rule: validation is left out). Where validation or test clips are still to be drawn from
    train.hdf5, for want of others, it keeps neither: training standardises by the clips that remain for it.

    The store keeps every frame, since standardisation takes them all, and says that the first
    `COURSE_FRAMES` of a clip are learned from, as the course does; our own exports say themselves what counts.

    Args:
        folder: holds `audio_features_data` and `video_features_data`.
        output: the feature store's folder; made if need be.
        required: a clip whose partner in the other modality is missing is listed in failures.csv for `both`, and kept
            without it for `any`.
        allow_outside: whether the files may be links that leave `folder`.
        progress: show a progress bar.

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
            for modality in MODALITIES
        }
        sources, dataset = match_clips(root, files)
        if not sources:
            raise UserError(f"{root} holds HDF5 files without a clip; expected <label>/audio/<stem> in them")
        moments = {modality: read_moments(root, modality, allow_outside=allow_outside) for modality in MODALITIES}
        plan = _plan(dataset, files, moments, required)
        with writing(Path(output)) as writer:
            writer.begin(plan)
            if writer.complete:
                writer.tidy()
            else:
                reader = _Reader(files, required)
                writer.pack(dataset, reader.parts(sources, dataset.clips, shown=progress))
                writer.close(dataset, plan, reader.standardization(moments))
    return FeatureStore.open(output)


def _plan(dataset: Dataset, files: Files, moments: GivenMoments, required: Required) -> Json:
    """Everything that decides what the store will hold."""
    opened = [file for by_split in files.values() for file in by_split.values()]
    limits = [file.first_frames for file in opened if file.first_frames]
    return {
        "embedder": {"name": "imported", "weights": "unknown", "trained": True},
        "dataset": {
            "name": dataset.name,
            "synthetic": any(file.synthetic for file in opened),
            "clips": len(dataset.clips),
            "digest": dataset.digest,
            "media": import_digest(dataset.root),
        },
        "parameters": {
            "modalities": required,
            "standardization": {name: "given" if moments[name] else "computed" for name in MODALITIES},
            **({FIRST_FRAMES: min(limits)} if limits else {}),
        },
    }


class _Reader:
    """Reads clip after clip, adding up what training clips hold."""

    def __init__(self, files: Files, required: Required) -> None:
        self._files, self._required = files, required
        self._running = {modality: RunningMoments() for modality in MODALITIES}
        self._widths: dict[Modality, int] = {}
        self._splits: set[str] = set()

    def parts(self, sources: Sequence[Source], clips: Sequence[Clip], *, shown: bool) -> Iterator[Part]:
        """The features of all `clips`, which lie at `sources`, in their order."""
        with show_progress("importing", len(clips), "clip", shown=shown) as bar:
            for source, clip in zip(sources, clips, strict=True):
                yield self.part(source, clip.id)
                bar.update()

    def part(self, source: Source, clip_id: str) -> Part:
        """One clip's features, or the reason why there are none."""
        found: dict[Modality, Features] = {}
        problems = []
        for modality in MODALITIES:
            try:
                found[modality] = self._features(source, modality)
            except ValueError as error:
                problems.append(f"no {modality}: {error}")
        note = "; ".join(problems)
        if problems and (self._required == "both" or not found):
            return Part(clip_id, reason=note)
        self._splits.add(source.split)
        return Part(clip_id, "", note, found.get("audio", no_features()), found.get("video", no_features()))

    def standardization(self, given: GivenMoments) -> dict[str, Vector]:
        """For `StoreWriter.close`: what was given, else what was added up, unless other splits are drawn from that."""
        arrays: dict[str, Vector] = {}
        for modality in MODALITIES:
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
