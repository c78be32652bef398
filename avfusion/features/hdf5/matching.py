"""The clips of a folder of HDF5 features: partners matched, classes and locations found."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from avfusion.datasets import Clip, Dataset
from avfusion.datasets.tau import location_of
from avfusion.errors import UserError
from avfusion.features import Modality
from avfusion.features.hdf5.folder import FOLDERS
from avfusion.features.hdf5.reading import CLASS, ID, LOCATION, FeatureFile, Key
from avfusion.system.names import check_name

Files = Mapping[Modality, Mapping[str, FeatureFile]]
"""Modality -> split -> open file."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """One clip and where its features are: `found` holds the modalities that have it."""

    split: str
    key: Key
    found: frozenset[Modality]


def match_clips(root: Path, files: Files) -> tuple[list[Source], Dataset]:
    """The clips of all files in the order of split, label and stem, and the dataset that they make.

    Names are `scene-city-location-segment`, as in TAU; our own exports say class and location themselves.

    Raises:
        UserError: a clip is there twice, one label stands for two scenes, or a name holds a control character.
    """
    found: dict[tuple[str, Key], set[Modality]] = {}
    for modality, by_split in files.items():
        for split, file in by_split.items():
            for key in file.keys():  # noqa: SIM118  (not a dictionary)
                found.setdefault((split, key), set()).add(modality)
    order = {split: number for number, split in enumerate(("train", "val", "test"))}
    sources = [
        Source(split, key, frozenset(found[split, key]))
        for split, key in sorted(found, key=lambda entry: (order[entry[0]], entry[1]))
    ]
    _check_once(sources)
    names = [_Naming(source, files) for source in sources]
    classes = _classes(sources, names)
    unnamed = sum(not name.location for name in names)
    note = f"{unnamed} clips are not named scene-city-location-segment: each is a location of its own"
    if unnamed:
        _log.warning("%s: %s", root, note)
    clips = tuple(
        Clip(
            id=name.id,
            label=classes[source.key.label],
            location=name.location or name.id,
            split=source.split,
            audio=_path(root, files, source, "audio"),
            video=_path(root, files, source, "video"),
        )
        for source, name in zip(sources, names, strict=True)
    )
    for clip in clips:
        for what, text in (("id", clip.id), ("label", clip.label), ("location", clip.location)):
            check_name(f"{root}", what, text)
    return sources, Dataset(root.name, root, clips, notes=(note,) if unnamed else ())


class _Naming:
    """What the files say about one clip: id, location and scene, "" where they do not."""

    def __init__(self, source: Source, files: Files) -> None:
        modality = min(source.found)
        file = files[modality][source.split]
        self.id, self.location, self.scene = source.key.stem, "", ""
        if file.own:
            name = file.name(source.key)
            self.id = file.attribute(name, ID) or self.id
            self.location = file.attribute(name, LOCATION)
            self.scene = file.attribute(source.key.label, CLASS)
            return
        try:
            self.location = location_of(f"{source.key.stem}.wav")
            self.scene = self.location.split("-")[0]
        except UserError:
            pass


def _classes(sources: list[Source], names: list[_Naming]) -> dict[str, str]:
    """Label -> class name; the label itself where the clips do not all say their scene."""
    scenes: dict[str, set[str]] = {}
    for source, name in zip(sources, names, strict=True):
        scenes.setdefault(source.key.label, set()).add(name.scene)
    if any("" in found for found in scenes.values()):
        return {label: label for label in scenes}
    for label, found in scenes.items():
        if len(found) > 1:
            raise UserError(f"the label {label!r} stands for {' and '.join(sorted(found))}; expected one scene")
    classes = {label: found.pop() for label, found in scenes.items()}
    if len(set(classes.values())) < len(classes):
        raise UserError("two labels stand for one scene; expected the class index in alphabetical order")
    return classes


def _check_once(sources: list[Source]) -> None:
    sources_by_stem: dict[str, Source] = {}
    for source in sources:
        first = sources_by_stem.setdefault(source.key.stem, source)
        if first is not source:
            raise UserError(
                f"the clip {source.key.stem!r} is there twice, as {first.split} {first.key.label} and "
                f"{source.split} {source.key.label}; keep one"
            )


def _path(root: Path, files: Files, source: Source, modality: Modality) -> Path | None:
    """File and name inside it, as one path."""
    if modality not in source.found:
        return None
    file = files[modality][source.split]
    return root / FOLDERS[modality] / file.path.name / file.name(source.key)
