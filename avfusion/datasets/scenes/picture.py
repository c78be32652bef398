"""The picture of one synthetic clip: its recipe's elements, painted from back to front."""

from collections.abc import Callable

from avfusion.datasets.scenes import picture_actors as actors
from avfusion.datasets.scenes import picture_halls as halls
from avfusion.datasets.scenes import picture_streets as streets
from avfusion.datasets.scenes import picture_vehicles as vehicles
from avfusion.datasets.scenes.moment import Moment
from avfusion.datasets.scenes.recipes import RECIPES
from avfusion.datasets.scenes.stage import Frame, Stage

Element = Callable[[Stage, float], None]

ELEMENTS: dict[str, Element] = {
    element.__name__: element
    for element in (
        streets.sky,
        streets.skyline,
        streets.pavement,
        streets.lawn,
        streets.trees,
        streets.house_rows,
        streets.road,
        streets.monument,
        streets.stalls,
        streets.lamps,
        halls.hall,
        halls.glass_wall,
        halls.shop_fronts,
        halls.columns,
        halls.boards,
        halls.seat_rows,
        halls.escalator,
        halls.track,
        vehicles.street_outside,
        vehicles.tunnel_outside,
        vehicles.cabin,
        vehicles.seat_backs,
        vehicles.benches_along,
        vehicles.poles,
        vehicles.passengers,
        actors.people,
        actors.cars,
    )
}


def render_picture(moment: Moment) -> list[Frame]:
    """The clip's synthetic frames, 8 a second, each 8-bit RGB [120, 160, 3]."""
    recipe = RECIPES[moment.view]
    stage = Stage(moment, recipe.outdoors)
    for name, (probability, low, high) in recipe.picture.items():
        location = moment.location.rng(f"picture {name}")
        if location.random() < probability:
            ELEMENTS[name](stage, float(location.uniform(low, high)))
    if moment.location.rain > 0 and recipe.outdoors:
        actors.rain(stage)
    return stage.film()
