"""The sound of one synthetic clip: its recipe's sources, mixed in the location's room."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from avfusion.datasets.scenes import sound_machines as machines
from avfusion.datasets.scenes import sound_nature as nature
from avfusion.datasets.scenes import sound_people as people
from avfusion.datasets.scenes.acoustics import Scape, master
from avfusion.datasets.scenes.moment import Moment
from avfusion.datasets.scenes.noise import SAMPLE_RATE, noise
from avfusion.datasets.scenes.recipes import RECIPES

Source = Callable[[Scape, float], None]

SOURCES: dict[str, Source] = {
    source.__name__: source
    for source in (
        machines.engine,
        machines.rumble,
        machines.rail_clicks,
        machines.motor_whine,
        machines.squeal,
        machines.train_arrival,
        machines.cars,
        machines.traffic_hum,
        machines.ventilation,
        machines.rattle,
        machines.door_beeps,
        nature.birds,
        nature.crickets,
        nature.wind,
        nature.fountain,
        nature.bells,
        people.babble,
        people.footsteps,
        people.announcement,
        people.music,
        people.clatter,
        people.trolley,
    )
}


def render_sound(moment: Moment) -> NDArray[np.int16]:
    """The clip's synthetic sound, 16-bit [n_samples, 2] at 48 kHz."""
    scape = Scape(moment, max(1, round(moment.seconds * SAMPLE_RATE)))
    recipe = RECIPES[moment.soundscape]
    for name, (probability, low, high) in recipe.sound.items():
        location, rng = moment.location.rng(f"sound {name}"), moment.rng(f"sound {name}")
        if location.random() < probability:
            SOURCES[name](scape, float(location.uniform(low, high) + rng.normal(0, 1.5)))
    if moment.location.rain > 0 and recipe.outdoors:
        nature.rain(scape, -14.0)
    location = moment.location.rng("background")
    colour = location.uniform(-5, -2)  # decibels an octave
    floor = noise(moment.rng("background"), scape.length, [float(-4 + colour * k) for k in range(10)])
    scape.add(floor, float(location.uniform(-36, -24)), distance=0.4)
    return master(scape)
