"""Feature stores with known content, for tests: no media, no embedder."""

from pathlib import Path

import numpy as np

from avfusion.datasets import Clip, Dataset
from avfusion.features import FeatureStore
from avfusion.features.parts import Part, write_part
from avfusion.features.writer import writing

CLASSES = ("airport", "bus", "park")


def make_store(
    folder: Path,
    *,
    classes: tuple[str, ...] = CLASSES,
    locations: int = 6,
    clips: int = 4,
    n_frames: int = 5,
    dim: int = 8,
    separation: float = 3.0,
    synthetic: bool = True,
    trained: bool = False,
    seed: int = 0,
    lengths: tuple[int, ...] = (),
    pictures: tuple[int, int] | None = None,
    splits: dict[str, str] | None = None,
) -> FeatureStore:
    """A store of `clips` clips at each of `locations` locations per class.

    A class moves one dimension of each modality by `separation` standard deviations; `lengths` gives the clips other
    numbers of frames, in turn; `pictures` gives the video another number of frames and dimension; `splits` the split of
    clips by id.
    """
    generator = np.random.default_rng(seed)
    listed: list[Clip] = []
    parts: list[Part] = []
    for number, label in enumerate(classes):
        for location in range(locations):
            for segment in range(clips):
                name = f"{label}-town-{number}{location:02d}-{segment}"
                split = (splits or {}).get(name, "")
                listed.append(Clip(name, label, f"{label}-{location}", split, Path(f"{name}.wav"), Path(f"{name}.mp4")))
                length = lengths[len(parts) % len(lengths)] if lengths else n_frames
                audio, video = generator.normal(size=(2, length, dim)).astype(np.float32)
                if pictures is not None:
                    video = generator.normal(size=pictures).astype(np.float32)
                audio[:, number % dim] += separation
                video[:, (number + 1) % video.shape[1]] += separation
                parts.append(Part(name, audio=audio, video=video))
    dataset = Dataset("toys", Path(), tuple(listed), synthetic=synthetic)
    plan = {
        "dataset": {"name": dataset.name, "synthetic": synthetic, "digest": dataset.digest},
        "embedder": {"name": "toy", "trained": trained},
    }
    with writing(folder) as writer:
        writer.begin(plan)
        for index, part in enumerate(parts):
            write_part(writer.parts, index, part)
        writer.finish(dataset, plan)
    return FeatureStore.open(folder)
