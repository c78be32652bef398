"""`make gallery`: run the gallery's commands, and keep their pictures, small enough for the repository.

Needs Chromium for the pages (Debian's packages chromium and chromium-driver).
"""

import logging
import os
import shlex
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

import numpy as np
from mlflow import MlflowClient
from PIL import Image, PngImagePlugin

from avfusion.datasets.scenes.moment import draw_location, draw_moment
from avfusion.datasets.scenes.picture import render_picture
from avfusion.datasets.scenes.render import write_mp4, write_wav
from avfusion.datasets.scenes.sound import render_sound
from avfusion.figures.variant_diagram import variant_diagram
from avfusion.fusion import variants
from docs.making.gallery import PAGE, PICTURES, described, diagrams, page, steps
from tests.browser import Browser, browser, mlflow_ui

ROOT = Path(__file__).parents[2]
EXPERIMENT = "avfusion"
WIDEST = 1100
"""Pixels of a picture."""
COLOURS = 96
RUNS = {"AUDIO_RUN": "audio_only", "VIDEO_RUN": "video_only", "FUSED_RUN": "late"}
RIDE = ("bus", "park")
SECONDS = 12.0
"""Of each scene of the ride."""
SETTLED = 2.0
"""Seconds after which all that a page brings by and by is where it belongs."""

PAGE_OF = "page "
"""How the place of an HTML page begins."""

TABLE = "return document.querySelectorAll('.ag-row').length > 0"
CHARTS = "return document.querySelectorAll('.js-plotly-plot .point, .js-plotly-plot .bars path').length > 3"

TIDY = """
document.querySelector('[data-component-id="mlflow.assistant.chat_panel.close"]')?.click();
let place = [...document.querySelectorAll('button')].find(one => one.textContent.trim() == 'Exit shared view');
while (place && place.querySelectorAll('button').length < 2) place = place.parentElement;
if (place) [...place.querySelectorAll('button')].pop().click();
document.head.insertAdjacentHTML('beforeend', '<style>.modebar { display: none !important }</style>');
"""
"""Closes what covers the runs at the first visit."""

_log = logging.getLogger("gallery")


def main() -> None:
    """Make all pictures and the page, in a temporary folder or the one named, where what is done stays done."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name, file in diagrams().items():
        keep_diagram(name, file)
    with nullcontext(sys.argv[1]) if len(sys.argv) > 1 else TemporaryDirectory(prefix="avfusion-gallery-") as name:
        keep_exhibits(Path(name).absolute())
    PAGE.write_text(page())


def keep_exhibits(folder: Path) -> None:
    """Run all commands in `folder`, and keep what they draw; then what a browser shows."""
    store = f"sqlite:///{folder / 'mlflow.db'}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    environment |= {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": store, "MLFLOW_DISABLE_TELEMETRY": "true"}
    ride(folder)
    seen_later = []
    for number, step in enumerate(steps()):
        printed = folder / f"printed-{number}.txt"
        if not printed.exists():
            printed.write_text(run(with_runs(step.command, store), folder, environment))
        lines = printed.read_text().splitlines()
        for exhibit in step.exhibits:
            kind, _, place = exhibit.found.partition(":")
            if kind in ("view", "charts"):
                seen_later.append((exhibit, kind, lines[-1].partition("/#/")[2]))
            elif kind.startswith(PAGE_OF):
                page_file = found(kind.removeprefix(PAGE_OF), place.strip(), folder, store)
                seen_later.append((exhibit, PAGE_OF, page_file.as_uri()))
            else:
                keep(found(kind, place.strip(), folder, store), PICTURES / f"{exhibit.name}.png")
    with mlflow_ui(store, folder) as ui, browser(folder) as seen:
        for exhibit, kind, address in seen_later:
            keep(photograph(seen, ui, kind, address, exhibit.name), PICTURES / f"{exhibit.name}.png")


def keep_diagram(name: str, file: Path) -> None:
    """The diagram of a variant, with what is in it as text, by which the suite knows whether it is of today."""
    figure = variant_diagram(variants()[name])
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=150)
    keep(file, file, {"Description": described(figure)})


def ride(folder: Path) -> None:
    """A clip of two scenes in a row."""
    moments = [draw_moment(draw_location(7, scene, 0), 0, SECONDS) for scene in RIDE]
    write_wav(folder / "ride.wav", np.concatenate([render_sound(moment) for moment in moments]))
    write_mp4(folder / "ride.mp4", [frame for moment in moments for frame in render_picture(moment)])


def run(command: str, folder: Path, environment: dict[str, str]) -> str:
    """What a command prints."""
    _log.info("$ %s", command)
    words = [sys.executable if word == "python" else word for word in shlex.split(command)]
    done = subprocess.run(words, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def with_runs(command: str, store: str) -> str:
    """The command with the ids of runs for the words that stand for them."""
    for word, name in RUNS.items():
        if word in command:
            command = command.replace(word, run_id(name, store))
    return command


def run_id(name: str, store: str) -> str:
    """The newest run of this name."""
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None, f"no command made the experiment {EXPERIMENT}"
    (newest,) = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'", max_results=1)
    return str(newest.info.run_id)


def found(kind: str, place: str, folder: Path, store: str) -> Path:
    """The picture that a command left."""
    if kind == "file":
        return folder / place
    uri = MlflowClient(store).get_run(run_id(kind.removeprefix("run "), store)).info.artifact_uri
    return Path(unquote(urlsplit(uri).path)) / place


def photograph(seen: Browser, ui: str, kind: str, address: str, name: str) -> Path:
    """What a browser shows: the beginning of a page, or a table or charts of MLflow's."""
    if kind == PAGE_OF:
        seen.resize(1000, 1300)
        seen.open(address)
        seen.wait("return [...document.images].every(image => image.complete)")
        time.sleep(SETTLED)
    else:
        seen.resize(1500, 600 if kind == "view" else 1000)
        seen.open(f"{ui}/#/{address}" + ("&compareRunsMode=CHART" if kind == "charts" else ""))
        seen.wait(TABLE if kind == "view" else CHARTS)
        time.sleep(SETTLED)
        seen.js(TIDY)
        time.sleep(SETTLED)
    return seen.picture(name)


def keep(picture: Path, file: Path, texts: dict[str, str] | None = None) -> None:
    """The picture as a small file: few colours, and no wider than `WIDEST`."""
    image = Image.open(picture).convert("RGB")
    if image.width > WIDEST:
        image = image.resize((WIDEST, round(image.height * WIDEST / image.width)), Image.Resampling.LANCZOS)
    noted = PngImagePlugin.PngInfo()
    for key, text in (texts or {}).items():
        noted.add_text(key, text)
    file.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True, pnginfo=noted)


if __name__ == "__main__":
    main()
