"""All that a comparison starts from, wherever the answers come from; and the answers of a folder of files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from avfusion.analysis.contenders import Contender, same_clips
from avfusion.analysis.places import Places, places_of_names, read_places
from avfusion.errors import UserError
from avfusion.scoring.folders import VALIDATION, read_folder


@dataclass(frozen=True)
class Entries:
    """The contenders, over the same clips, and what is known of them."""

    contenders: tuple[Contender, ...]
    places: Places
    source: str
    """Where the answers come from, in words."""
    remarks: tuple[str, ...] = ()
    """What a reader must know, for instance what was left out."""
    warning: str = ""
    """That scenes are synthetic or features untrained; empty if neither."""
    run_ids: Mapping[str, str] | None = None
    """Contender -> id of the run that holds its first seed; None for files."""
    model_runs: Mapping[str, str] | None = None
    """Contender -> id of the run that holds its model, which is that of all its seeds; None for files."""


def entries_of_folder(folder: Path, locations: Path | None) -> Entries:
    """Every model in `folder` (see `read_folder`); those of the same names in its folder val are validation answers.

    `locations` is a CSV, or None if the clips are named as TAU's. Raises `UserError` for what cannot be used.
    """
    answers = read_folder(folder)
    held_out = read_folder(folder / VALIDATION) if (folder / VALIDATION).is_dir() else {}
    contenders, remarks = same_clips(
        [
            Contender(name, origin, (predictions,), (held_out[name].predictions,) if name in held_out else ())
            for name, (origin, predictions) in answers.items()
        ]
    )
    places = find_places(locations, contenders[0].seeds[0].ids)
    notes = tuple(note for contender in contenders for note in contender.seeds[0].notes)
    return Entries(tuple(contenders), places, f"the prediction files in {folder.resolve().name}", (*remarks, *notes))


def find_places(locations: Path | None, clips: tuple[str, ...]) -> Places:
    """From the CSV `locations`, or for None from the clips' names; `UserError` if they do not tell."""
    if locations:
        return read_places(locations, clips)
    places = places_of_names(clips)
    if places is None:
        raise UserError(
            "locations: none given, and the clips are not named as TAU's are (scene-city-location-segment); name a CSV "
            "with a column location, as locations=FILE: clips of one location are not independent"
        )
    return places
