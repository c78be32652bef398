"""A synthetic location and a moment there: what all its clips share, and what each varies."""

from dataclasses import dataclass

import numpy as np

from avfusion.datasets.scenes.recipe import Recipe
from avfusion.datasets.scenes.recipes import RECIPES
from avfusion.system.seeds import derive_seed


@dataclass(frozen=True, eq=False)
class Location:
    """Where clips are cut from: its seed fixes palette, geometry, reverberation, levels and optional sources."""

    scene: str
    seed: int
    conditions: dict[str, float]  # where this location lies in the ranges of its recipe
    daylight: float  # 0 night .. 1 noon
    rain: float  # 0 dry .. 1 pouring
    wind: float  # 0 calm .. 1 gusty

    def rng(self, purpose: str) -> np.random.Generator:
        """A generator that is the same for every clip of this location."""
        return np.random.default_rng(derive_seed(self.seed, purpose))


@dataclass(frozen=True)
class Moment:
    """One clip: the shared causes that its sound and its picture both show."""

    location: Location
    seed: int
    seconds: float
    view: str  # whose picture recipe is shown
    soundscape: str  # whose sound recipe is heard
    people: float  # 0 deserted .. 1 crowded
    speed: float  # of the vehicle that carries us, 0 stopped .. 1 fast
    reverberation: float  # seconds to -60 dB
    passings: tuple[tuple[float, int], ...]  # (time in seconds, direction +1 or -1) of passing vehicles
    platform: tuple[float, float]  # speed of a train at the platform at start and end; (0, 0): none moves

    def rng(self, purpose: str) -> np.random.Generator:
        """A generator of this clip alone."""
        return np.random.default_rng(derive_seed(self.seed, purpose))


def draw_location(seed: int, scene: str, number: int) -> Location:
    """The location that `seed`, class and its number in it fix, whatever else is rendered."""
    recipe = RECIPES[scene]
    own_seed = derive_seed(seed, "place", scene, number)
    rng = np.random.default_rng(derive_seed(own_seed, "conditions"))
    conditions = {name: float(rng.uniform(low, high)) for name, (low, high) in recipe.conditions.items()}
    rain = float(rng.uniform(0.4, 1.0)) if rng.random() < 0.2 else 0.0
    return Location(
        scene=scene,
        seed=own_seed,
        conditions=conditions,
        daylight=float(rng.choice([0.0, 0.35, 0.7, 1.0], p=[0.1, 0.15, 0.35, 0.4])),
        rain=rain,
        wind=float(rng.beta(1.2, 2.0)),
    )


def _sibling(rng: np.random.Generator, scene: str, siblings: dict[str, float]) -> str:
    names = [scene, *siblings]
    return str(rng.choice(names, p=[1.0 - sum(siblings.values()), *siblings.values()]))


def _condition(rng: np.random.Generator, recipe: Recipe, location: Location, name: str) -> float:
    low, high = recipe.conditions[name]
    value = location.conditions[name] + rng.normal(0.0, 0.2) * (high - low)
    return float(np.clip(value, low, high))


def _platform(rng: np.random.Generator) -> tuple[float, float]:
    fast, slow = float(rng.uniform(0.5, 1.0)), float(rng.uniform(0.0, 0.2))
    return ((fast, slow), (slow, fast), (0.0, 0.0))[int(rng.choice(3, p=[0.45, 0.35, 0.2]))]


def draw_moment(location: Location, segment: int, seconds: float) -> Moment:
    """The clip number `segment` of a location."""
    recipe = RECIPES[location.scene]
    seed = derive_seed(location.seed, "moment", segment)
    rng = np.random.default_rng(derive_seed(seed, "causes"))
    traffic = _condition(rng, recipe, location, "traffic")
    n_passings = int(rng.poisson(traffic * 1.6 * seconds))
    times = np.sort(rng.uniform(-0.3, seconds + 0.3, n_passings))
    return Moment(
        location=location,
        seed=seed,
        seconds=seconds,
        view=_sibling(rng, location.scene, recipe.looks_like),
        soundscape=_sibling(rng, location.scene, recipe.sounds_like),
        people=_condition(rng, recipe, location, "people"),
        speed=_condition(rng, recipe, location, "speed"),
        reverberation=location.conditions["reverberation"],
        passings=tuple((float(time), int(rng.choice([-1, 1]))) for time in times),
        platform=_platform(rng),
    )
