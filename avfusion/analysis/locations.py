"""Where clips were recorded: from a CSV, from the feature store, or from names as TAU gives them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from avfusion.datasets.tau import location_of
from avfusion.errors import UserError
from avfusion.features import FeatureStore

_TAIL = re.compile(r"-a$")
"""What the names of some public copies of TAU's lists end in."""


@dataclass(frozen=True)
class ClipLocations:
    """Clip id -> location and, where known for every clip, city."""

    locations: Mapping[str, str]
    cities: Mapping[str, str] | None
    origin: str
    """The file that says so, "the feature store" or "the names of the clips"."""

    def in_order(self, clips: Sequence[str]) -> list[str]:
        """[N] location of each of `clips`; `UserError` if one is not known."""
        if missing := [clip for clip in clips if clip not in self.locations]:
            raise UserError(
                f"{self.origin}: no location of {len(missing)} of {len(clips)} clips, for instance {missing[0]!r}; "
                "give a CSV with a line for each clip"
            )
        return [self.locations[clip] for clip in clips]


def find_locations(clips: Sequence[str], path: Path | None, store: FeatureStore | None) -> ClipLocations | None:
    """Where `clips` were recorded: from the CSV `path`, else the feature store, else the clips' names.

    None if none of these tells. Raises `UserError` for a CSV that cannot be used (see `read_locations`).
    """
    if path is not None:
        return read_locations(path, clips)
    named = locations_of_names(clips)
    if store is None:
        return named
    columns = zip(store.clips["id"], store.clips["location"], strict=True)
    locations = {str(clip): str(location) for clip, location in columns}
    return ClipLocations(locations, named.cities if named else None, "the feature store")


def need_locations(found: ClipLocations | None) -> ClipLocations:
    """What `find_locations` found; `UserError`, saying how to give them, if it found none."""
    if found is None:
        raise UserError(
            "locations: none given, and the clips are not named as TAU's are (scene-city-location-segment); name a CSV "
            "with a column location, as locations=FILE: clips of one location are not independent"
        )
    return found


def locations_of_names(clips: Sequence[str]) -> ClipLocations | None:
    """The locations of clips named scene-city-location-segment, as TAU's are; None if one is not."""
    try:
        locations = {clip: location_of(clip) for clip in clips}
    except UserError:
        return None
    cities = {clip: "-".join(location.split("-")[1:-1]) for clip, location in locations.items()}
    return ClipLocations(locations, cities, "the names of the clips")


def read_locations(path: Path, clips: Sequence[str]) -> ClipLocations:
    """The locations of `clips` from a CSV (or tab-separated) file with a column location and, if it likes, city.

    Clips are found in whichever other column names most of them: by their id, else by the stem of a file name, else by
    the stem without a trailing -a. Raises `UserError` for a file that cannot be read, lacks the column, names no clip,
    or gives one clip two locations.
    """
    table = _read(path)
    if "location" not in table.columns:
        raise UserError(f"{path}: no column location; found {', '.join(table.columns)}")
    best: tuple[int, dict[str, int]] = (0, {})
    for column in table.columns.drop(["location", "city"], errors="ignore"):
        for key in KEYS:
            rows = {key(name): row for row, name in enumerate(table[column])}
            found = {clip: rows[key(clip)] for clip in clips if key(clip) in rows}
            if len(found) > best[0]:
                _check_single(path, table, str(column), key, set(map(key, found)))
                best = (len(found), found)
    rows_of_clips = best[1]
    if not rows_of_clips:
        raise UserError(f"{path}: names none of the clips, for instance {clips[0]!r}; give the list that they are from")
    locations = {clip: str(table["location"].iloc[row]) for clip, row in rows_of_clips.items()}
    if empty := [clip for clip, location in locations.items() if not location]:
        raise UserError(f"{path}: the location of {len(empty)} clip(s) is empty, for instance of {empty[0]!r}")
    cities = None
    if "city" in table.columns:
        cities = {clip: str(table["city"].iloc[row]) for clip, row in rows_of_clips.items()}
    return ClipLocations(locations, cities, path.name)


def _as_it_is(name: str) -> str:
    return name


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _without_tail(name: str) -> str:
    return _TAIL.sub("", _stem(name))


KEYS: tuple[Callable[[str], str], ...] = (_as_it_is, _stem, _without_tail)
"""Ways to make a name comparable, the strictest first."""


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(f"{path.resolve()}: no such file; expected a CSV that gives the location of each clip")
    try:
        with path.open(encoding="utf-8-sig") as file:
            separator = "\t" if "\t" in file.readline() else ","
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except ValueError as error:  # pandas' parser errors and undecodable text are all ValueErrors
        raise UserError(f"{path}: not a CSV table ({str(error).splitlines()[0]})") from error
    if table.empty:
        raise UserError(f"{path}: has no line below its header; expected a line for each clip")
    return table


def _check_single(path: Path, table: pd.DataFrame, column: str, key: Callable[[str], str], names: set[str]) -> None:
    """Stop if a clip has two locations."""
    keys = table[column].map(key)
    counts = table.assign(key=keys)[keys.isin(names)].groupby("key")["location"].nunique()
    if (counts > 1).any():
        name = str(counts.index[counts > 1][0])
        raise UserError(f"{path}: {name!r} has {int(counts[name])} locations; each clip must have one")
