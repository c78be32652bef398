"""A whole synthetic set in the layout of TAU Urban Audio-Visual Scenes 2021."""

import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from avfusion.datasets.scenes.recipes import RECIPES
from avfusion.datasets.scenes.render import render_clip
from avfusion.errors import UserError
from avfusion.system.processes import available_cores, spread
from avfusion.system.progress import show_progress

MARKER = "synthetic.json"
GENERATOR, VERSION = "avfusion.datasets.scenes", 2
CITIES = ("mockholm", "fakeford", "synthville", "shamburg", "pseudonia", "fictown", "demopolis", "fauxbridge")
_UNFINISHED = ".synthetic.json.unfinished"


@dataclass(frozen=True)
class Parameters:
    """What fixes a synthetic set."""

    seed: int
    locations: int
    test_locations: int
    segments: int
    seconds: float

    def check(self) -> None:
        """Raise UserError when no set can be made of these."""
        if not 1 <= self.test_locations < self.locations:
            raise UserError(
                f"{self.test_locations} test locations of {self.locations}: expected at least one and fewer than "
                "all; lower test_locations or raise locations"
            )
        if self.segments < 1:
            raise UserError(f"{self.segments} segments a location: expected at least 1")
        if not 0.5 <= self.seconds <= 60:
            raise UserError(f"clips of {self.seconds} s: expected 0.5 to 60 seconds")

    def marker(self) -> str:
        """The text of the marker file."""
        description = {
            "synthetic": True,
            "generator": GENERATOR,
            "version": VERSION,
            "note": "Rendered by rule; nothing here was recorded and no place here exists.",
            "parameters": self.__dict__,
        }
        return json.dumps(description, indent=2) + "\n"


@dataclass(frozen=True)
class SceneClip:
    """Where one clip of the set comes from and what its files are called."""

    scene: str
    location: int  # index within the class
    segment: int

    @property
    def stem(self) -> str:
        """`scene-city-location-segment`; the location number is unique over all classes."""
        number = self.location * len(RECIPES) + list(RECIPES).index(self.scene)
        return f"{self.scene}-{CITIES[number % len(CITIES)]}-{number}-{self.segment}"

    def row(self) -> tuple[str, str, str]:
        """filename_audio, filename_video, scene_label."""
        return f"audio/{self.stem}.wav", f"video/{self.stem}.mp4", self.scene


def _clips(parameters: Parameters) -> list[SceneClip]:
    return [
        SceneClip(scene, location, segment)
        for scene in RECIPES
        for location in range(parameters.locations)
        for segment in range(parameters.segments)
    ]


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)


def _write_lists(root: Path, clips: list[SceneClip], parameters: Parameters) -> None:
    first_test = parameters.locations - parameters.test_locations
    columns = ("filename_audio", "filename_video", "scene_label")
    train = [clip.row() for clip in clips if clip.location < first_test]
    test = [clip.row() for clip in clips if clip.location >= first_test]
    setup = root / "evaluation_setup"
    tables: dict[Path, list[tuple[str, ...]]] = {
        root / "meta.csv": [columns, *train, *test],
        setup / "fold1_train.csv": [columns, *train],
        setup / "fold1_evaluate.csv": [columns, *test],
        setup / "fold1_test.csv": [row[:2] for row in [columns, *test]],
    }
    for path, rows in tables.items():
        _write(path, "".join("\t".join(row) + "\n" for row in rows))


def _claim(root: Path, parameters: Parameters) -> None:
    """Make `root` ours, or raise UserError where it holds something else."""
    marker = parameters.marker()
    for name in (MARKER, _UNFINISHED):
        if (root / name).exists():
            if (root / name).read_text() != marker:
                raise UserError(
                    f"{root.resolve()} holds synthetic scenes of other parameters than seed={parameters.seed}, "
                    f"locations={parameters.locations}, segments={parameters.segments}, "
                    f"seconds={parameters.seconds}; choose another folder or delete it"
                )
            return
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(f"{root.resolve()} holds other files; expected an empty or new folder for synthetic scenes")
    for folder in ("audio", "video", "evaluation_setup"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    _write(root / _UNFINISHED, marker)


def _render(root: Path, parameters: Parameters, clip: SceneClip) -> None:
    audio, video, _ = clip.row()
    render_clip(
        root / audio, root / video, parameters.seed, clip.scene, clip.location, clip.segment, parameters.seconds
    )


def _render_all(root: Path, clips: list[SceneClip], parameters: Parameters, workers: int) -> Iterator[None]:
    """Render in this process, or in fresh ones (spawned: forking a process with threads may hang)."""
    render = partial(_render, root, parameters)
    if workers == 1:
        yield from map(render, clips)
    else:
        yield from spread(render, clips, workers, multiprocessing.get_context("spawn"))


def render_scenes(
    root: Path,
    *,
    seed: int = 0,
    locations: int = 24,
    test_locations: int = 8,
    segments: int = 3,
    seconds: float = 2.5,
    workers: int | None = None,
) -> Path:
    """Render a synthetic set of the ten TAU classes into `root` and return `root`.

    Every class gets `locations` locations, the last `test_locations` of which are the test list, and
    `segments` clips of `seconds` each: 48 kHz stereo WAV, H.264 MP4 (160x120, 8 frames a second,
    no sound), meta.csv and the fold-1 lists. The marker `synthetic.json` is written last. Equal
    parameters give equal bytes, whatever `workers` (default: all cores). A complete set is left as
    it is; an interrupted one is continued. Raises UserError for impossible parameters and when
    `root` holds anything else.
    """
    parameters = Parameters(seed, locations, test_locations, segments, float(seconds))
    parameters.check()
    root = Path(root)
    _claim(root, parameters)
    clips = _clips(parameters)
    missing = [clip for clip in clips if not all((root / name).exists() for name in clip.row()[:2])]
    if missing:
        # a process takes about a second to start, in which one core renders some 30 clips
        workers = min(workers or available_cores(), -(-len(missing) // 30))
        rendering = _render_all(root, missing, parameters, workers)
        with show_progress("synthetic scenes", len(missing), "clip") as bar:
            for _ in rendering:
                bar.update()
    if not (root / MARKER).exists():
        _write_lists(root, clips, parameters)
        (root / _UNFINISHED).replace(root / MARKER)
    return root
