"""What the recipe of a class says, and the ranges of its conditions that classes of one kind share."""

from dataclasses import dataclass

Chance = tuple[float, float, float]  # probability at a location, lowest level, highest level
Range = tuple[float, float]


@dataclass(frozen=True)
class Recipe:
    """One class: its elements, its sources, its shared causes, its planted confusions."""

    picture: dict[str, Chance]
    sound: dict[str, Chance]
    conditions: dict[str, Range]  # people, traffic, speed in 0..1; reverberation in seconds
    looks_like: dict[str, float]
    sounds_like: dict[str, float]
    outdoors: bool


def hall(people: Range, reverberation: Range) -> dict[str, Range]:
    """A hall: no vehicle carries us; traffic, if any, is of trolleys and trains."""
    return {"people": people, "traffic": (0.0, 0.3), "speed": (0.0, 0.0), "reverberation": reverberation}


def street(people: Range, traffic: Range) -> dict[str, Range]:
    """An open place: traffic as given, little reverberation."""
    return {"people": people, "traffic": traffic, "speed": (0.0, 0.0), "reverberation": (0.15, 0.6)}


def vehicle(people: Range, speed: Range) -> dict[str, Range]:
    """The inside of a vehicle: `speed` is its own."""
    return {"people": people, "traffic": (0.0, 0.5), "speed": speed, "reverberation": (0.1, 0.3)}
