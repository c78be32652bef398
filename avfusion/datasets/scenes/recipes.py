"""What each synthetic scene is made of, as data.

A recipe names picture elements (functions of `picture`, painted back to front) and sound sources
(functions of `sound`), each with the probability that a location has it and the range of its level
(picture: 0..1, how much of it; sound: decibels). `conditions` are the causes that both modalities
show, so that sound and picture of one clip belong together. `looks_like` and `sounds_like` plant the
confusions of the study: that share of the class's clips shows a view, or a soundscape, of the
sibling class (the shopping lane of an airport, a bus stop heard from the tram).
"""

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


def _hall(people: Range, reverberation: Range) -> dict[str, Range]:
    return {"people": people, "traffic": (0.0, 0.3), "speed": (0.0, 0.0), "reverberation": reverberation}


def _street(people: Range, traffic: Range) -> dict[str, Range]:
    return {"people": people, "traffic": traffic, "speed": (0.0, 0.0), "reverberation": (0.15, 0.6)}


def _vehicle(people: Range, speed: Range) -> dict[str, Range]:
    return {"people": people, "traffic": (0.0, 0.5), "speed": speed, "reverberation": (0.1, 0.3)}


RECIPES: dict[str, Recipe] = {
    "airport": Recipe(
        picture={
            "hall": (1.0, 0.5, 1.0),
            "glass_wall": (0.85, 0.4, 1.0),
            "shop_fronts": (0.25, 0.1, 0.4),
            "columns": (0.4, 0.1, 0.6),
            "boards": (0.85, 0.5, 1.0),
            "seat_rows": (0.8, 0.4, 1.0),
            "people": (1.0, 0.3, 0.9),
        },
        sound={
            "ventilation": (0.9, -26, -18),
            "babble": (1.0, -24, -15),
            "announcement": (0.9, -14, -6),
            "trolley": (0.75, -20, -10),
            "footsteps": (0.3, -28, -20),
            "music": (0.1, -30, -22),
        },
        conditions=_hall((0.1, 0.8), (0.8, 2.2)),
        looks_like={"shopping_mall": 0.13, "metro_station": 0.08},
        sounds_like={"shopping_mall": 0.08, "metro_station": 0.04},
        outdoors=False,
    ),
    "bus": Recipe(
        picture={
            "street_outside": (1.0, 0.3, 1.0),
            "cabin": (1.0, 0.0, 0.45),
            "seat_backs": (0.95, 0.6, 1.0),
            "poles": (0.7, 0.0, 0.4),
            "passengers": (1.0, 0.3, 1.0),
        },
        sound={
            "engine": (1.0, -12, -4),
            "rattle": (0.6, -24, -15),
            "rumble": (0.4, -26, -16),
            "babble": (0.6, -28, -18),
            "door_beeps": (0.3, -26, -16),
            "ventilation": (0.4, -28, -20),
        },
        conditions=_vehicle((0.0, 0.7), (0.0, 0.7)),
        looks_like={"tram": 0.15, "metro": 0.02},
        sounds_like={"tram": 0.06, "street_traffic": 0.04},
        outdoors=False,
    ),
    "metro": Recipe(
        picture={
            "tunnel_outside": (1.0, 0.3, 1.0),
            "cabin": (1.0, 0.3, 0.7),
            "benches_along": (0.9, 0.4, 1.0),
            "poles": (0.9, 0.4, 1.0),
            "passengers": (1.0, 0.3, 1.0),
        },
        sound={
            "rumble": (1.0, -8, -2),
            "rail_clicks": (0.85, -18, -8),
            "motor_whine": (0.3, -30, -20),
            "squeal": (0.4, -26, -14),
            "door_beeps": (0.3, -24, -14),
            "babble": (0.5, -28, -20),
        },
        conditions=_vehicle((0.1, 0.9), (0.2, 1.0)),
        looks_like={"tram": 0.08, "bus": 0.04},
        sounds_like={"tram": 0.14, "metro_station": 0.04},
        outdoors=False,
    ),
    "metro_station": Recipe(
        picture={
            "hall": (1.0, 0.0, 0.5),
            "track": (0.95, 0.4, 1.0),
            "columns": (0.7, 0.3, 1.0),
            "boards": (0.5, 0.1, 0.5),
            "escalator": (0.15, 0.3, 0.8),
            "people": (0.95, 0.2, 0.8),
        },
        sound={
            "ventilation": (0.9, -22, -14),
            "train_arrival": (0.95, -10, -2),
            "announcement": (0.3, -20, -12),
            "footsteps": (0.75, -22, -14),
            "babble": (0.7, -28, -18),
            "door_beeps": (0.3, -22, -14),
        },
        conditions=_hall((0.0, 0.8), (0.8, 2.4)),
        looks_like={"airport": 0.05, "shopping_mall": 0.04},
        sounds_like={"metro": 0.08, "airport": 0.06},
        outdoors=False,
    ),
    "park": Recipe(
        picture={
            "sky": (1.0, 0.3, 1.0),
            "skyline": (0.3, 0.1, 0.4),
            "lawn": (1.0, 0.3, 1.0),
            "trees": (1.0, 0.4, 1.0),
            "lamps": (0.4, 0.2, 0.6),
            "people": (0.8, 0.1, 0.5),
        },
        sound={
            "birds": (1.0, -16, -6),
            "wind": (0.7, -24, -12),
            "crickets": (0.8, -24, -14),
            "traffic_hum": (0.4, -32, -22),
            "footsteps": (0.3, -30, -22),
            "babble": (0.3, -34, -24),
            "fountain": (0.1, -28, -18),
        },
        conditions=_street((0.0, 0.4), (0.0, 0.3)),
        looks_like={"public_square": 0.05, "street_pedestrian": 0.02},
        sounds_like={"public_square": 0.06, "street_pedestrian": 0.04},
        outdoors=True,
    ),
    "public_square": Recipe(
        picture={
            "sky": (1.0, 0.3, 1.0),
            "skyline": (0.95, 0.3, 0.7),
            "pavement": (1.0, 0.3, 1.0),
            "trees": (0.25, 0.1, 0.3),
            "monument": (0.85, 0.5, 1.0),
            "stalls": (0.2, 0.2, 0.5),
            "lamps": (0.5, 0.2, 0.8),
            "people": (1.0, 0.2, 0.8),
        },
        sound={
            "fountain": (0.65, -20, -10),
            "babble": (0.9, -26, -16),
            "birds": (0.4, -28, -18),
            "footsteps": (0.4, -32, -22),
            "bells": (0.4, -22, -12),
            "traffic_hum": (0.8, -24, -14),
            "wind": (0.4, -28, -18),
            "cars": (0.2, -26, -16),
        },
        conditions=_street((0.1, 0.8), (0.0, 0.5)),
        looks_like={"street_pedestrian": 0.13, "park": 0.03, "street_traffic": 0.02},
        sounds_like={"street_pedestrian": 0.12, "park": 0.04},
        outdoors=True,
    ),
    "shopping_mall": Recipe(
        picture={
            "hall": (1.0, 0.4, 1.0),
            "shop_fronts": (0.95, 0.6, 1.0),
            "columns": (0.4, 0.1, 0.6),
            "escalator": (0.65, 0.4, 1.0),
            "boards": (0.15, 0.1, 0.4),
            "people": (1.0, 0.3, 0.9),
        },
        sound={
            "ventilation": (0.6, -30, -20),
            "babble": (1.0, -20, -12),
            "music": (0.92, -14, -6),
            "footsteps": (0.5, -28, -18),
            "clatter": (0.6, -22, -13),
            "announcement": (0.1, -24, -14),
            "trolley": (0.1, -28, -20),
        },
        conditions=_hall((0.2, 0.9), (0.5, 1.8)),
        looks_like={"airport": 0.11, "metro_station": 0.04},
        sounds_like={"airport": 0.08, "street_pedestrian": 0.04},
        outdoors=False,
    ),
    "street_pedestrian": Recipe(
        picture={
            "sky": (1.0, 0.3, 1.0),
            "skyline": (0.5, 0.3, 0.8),
            "pavement": (1.0, 0.2, 0.9),
            "house_rows": (1.0, 0.5, 1.0),
            "trees": (0.2, 0.1, 0.3),
            "stalls": (0.4, 0.2, 0.8),
            "lamps": (0.4, 0.2, 0.8),
            "people": (1.0, 0.4, 1.0),
        },
        sound={
            "footsteps": (1.0, -16, -8),
            "babble": (0.95, -20, -12),
            "music": (0.15, -30, -20),
            "traffic_hum": (0.6, -28, -18),
            "clatter": (0.2, -30, -20),
            "birds": (0.2, -30, -22),
            "trolley": (0.1, -28, -20),
            "bells": (0.08, -28, -18),
        },
        conditions=_street((0.2, 1.0), (0.0, 0.3)),
        looks_like={"public_square": 0.13, "street_traffic": 0.04},
        sounds_like={"public_square": 0.12, "shopping_mall": 0.04},
        outdoors=True,
    ),
    "street_traffic": Recipe(
        picture={
            "sky": (1.0, 0.3, 1.0),
            "skyline": (0.6, 0.3, 0.8),
            "road": (1.0, 0.3, 1.0),
            "house_rows": (0.7, 0.1, 0.7),
            "trees": (0.35, 0.1, 0.5),
            "lamps": (0.6, 0.2, 0.8),
            "cars": (1.0, 0.4, 1.0),
            "people": (0.5, 0.1, 0.4),
        },
        sound={
            "cars": (1.0, -10, -2),
            "traffic_hum": (1.0, -20, -10),
            "engine": (0.2, -28, -18),
            "footsteps": (0.2, -32, -22),
            "wind": (0.3, -28, -18),
            "squeal": (0.15, -30, -20),
        },
        conditions=_street((0.0, 0.4), (0.3, 1.0)),
        looks_like={"street_pedestrian": 0.07, "public_square": 0.04},
        sounds_like={"public_square": 0.05, "bus": 0.04},
        outdoors=True,
    ),
    "tram": Recipe(
        picture={
            "street_outside": (1.0, 0.3, 1.0),
            "cabin": (1.0, 0.6, 1.0),
            "seat_backs": (0.25, 0.1, 0.4),
            "benches_along": (0.65, 0.3, 0.8),
            "poles": (1.0, 0.6, 1.0),
            "passengers": (1.0, 0.3, 1.0),
        },
        sound={
            "motor_whine": (0.95, -12, -4),
            "rail_clicks": (0.85, -18, -8),
            "rumble": (0.8, -22, -12),
            "squeal": (0.4, -24, -14),
            "bells": (0.3, -22, -12),
            "door_beeps": (0.3, -26, -16),
            "babble": (0.6, -28, -18),
        },
        conditions=_vehicle((0.0, 0.8), (0.0, 0.9)),
        looks_like={"bus": 0.15, "metro": 0.05},
        sounds_like={"metro": 0.14, "bus": 0.04},
        outdoors=False,
    ),
}
