"""The stage of one clip's picture: background, what moves behind its glass, what moves in front."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from avfusion.datasets.scenes.canvas import Canvas, Colour
from avfusion.datasets.scenes.moment import Moment

HEIGHT, WIDTH, FRAME_RATE = 120, 160, 8
MARGIN = 12  # pixels at either side that a segment's camera can pan to

Frame = NDArray[np.uint8]  # [HEIGHT, WIDTH, 3]
Actor = Callable[[Frame, float], None]  # draws itself on a frame at a time in seconds


@dataclass
class Stage:
    """Elements paint `background` from back to front and append `actors` in front of it."""

    moment: Moment
    outdoors: bool
    background: Canvas = field(init=False)  # [HEIGHT, WIDTH + 2 * MARGIN, 4]
    outside: Canvas | None = None  # [HEIGHT, any width, 3], moves behind the transparent parts
    outside_shift: Callable[[float], float] = field(default=lambda time: 0.0)  # pixels at a time
    actors: list[Actor] = field(default_factory=list)
    horizon: float = field(init=False)  # row of the eye level
    vanishing: float = field(init=False)  # column where receding lines meet, on the background

    def __post_init__(self) -> None:
        rng = self.moment.location.rng("camera")
        self.background = np.zeros((HEIGHT, WIDTH + 2 * MARGIN, 4), np.float32)
        self.horizon = HEIGHT * float(rng.uniform(0.36, 0.56))
        self.vanishing = self.background.shape[1] * float(rng.uniform(0.3, 0.7))
        self._gain = rng.uniform(0.75, 1.15) * rng.uniform(0.9, 1.1, 3)  # exposure and white balance
        self._contrast = float(rng.uniform(0.75, 1.2))
        self._saturation = float(rng.uniform(0.35, 1.15))
        self._flip = bool(self.moment.rng("camera").random() < 0.5)
        self.pan = int(self.moment.rng("pan").integers(0, 2 * MARGIN + 1))

    @property
    def daylight(self) -> Canvas:
        """Red, green, blue of the light under the open sky."""
        day = self.moment.location.daylight
        return np.array([0.22 + 0.78 * day, 0.24 + 0.76 * day, 0.36 + 0.64 * day], np.float32)

    @property
    def light(self) -> Canvas:
        """Red, green, blue of the light that falls on people and things here."""
        return self.daylight if self.outdoors else np.ones(3, np.float32)

    def lit(self, colour: Colour) -> Canvas:
        """A surface's colour under the light of the stage."""
        return np.asarray(colour, np.float32)[:3] * self.light

    def camera(self, picture: Canvas) -> Canvas:
        """Colours [..., 3] as the location's camera records them."""
        grey = (picture[..., :1] + picture[..., 1:2] + picture[..., 2:]) * np.float32(1 / 3)
        toned = (grey + np.float32(self._saturation) * (picture - grey)) * self._gain.astype(np.float32)
        return np.clip(0.5 + np.float32(self._contrast) * (toned - 0.45), 0, 1)

    def developed(self, sprite: Canvas) -> Canvas:
        """A sprite's canvas [h, w, 4] with its colours as the camera records them."""
        result = sprite.copy()
        result[..., :3] = self.camera(sprite[..., :3])
        return result

    def film(self) -> list[Frame]:
        """All frames of the clip."""
        n_frames = max(1, round(self.moment.seconds * FRAME_RATE))
        view = self.background[:, self.pan : self.pan + WIDTH][:, :: -1 if self._flip else 1]
        still = self.camera(view[..., :3]) * 255
        frames = np.repeat(still.astype(np.uint8)[None], n_frames, axis=0)
        if self.outside is not None:
            self._film_outside(frames, still, 1 - view[..., 3:])
        for k in range(n_frames):
            for actor in self.actors:
                actor(frames[k], k / FRAME_RATE)
        return list(frames)

    def _film_outside(self, frames: NDArray[np.uint8], still: Canvas, clear: Canvas) -> None:
        """Show the moving outside through the background's clear parts [HEIGHT, WIDTH, 1]."""
        seen = np.flatnonzero(clear.any(axis=(1, 2)))
        if self.outside is None or len(seen) == 0:
            return
        rows = slice(int(seen[0]), int(seen[-1]) + 1)
        period = self.outside.shape[1]
        outside = self.camera(self.outside[rows]) * 255
        outside = np.concatenate([outside, outside[:, :WIDTH]], axis=1)
        glass, through = still[rows] * (1 - clear[rows]), clear[rows]
        for k, frame in enumerate(frames):
            shift = round(self.outside_shift(k / FRAME_RATE)) % period
            frame[rows] = glass + outside[:, shift : shift + WIDTH] * through
