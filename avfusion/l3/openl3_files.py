"""Finding OpenL3's official weight files: given, environment, cache, openl3 package, download."""

import importlib.util
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from avfusion.errors import UserError
from avfusion.l3.download import OFFICIAL_URL, download_official
from avfusion.l3.keras_weights import branch_of, keras_state, read_layers
from avfusion.l3.network import Subnetwork
from avfusion.l3.presets import Branch, L3Config
from avfusion.l3.weights import State, build_subnetwork, read_safetensors, save_weights

WEIGHTS_VARIABLE = "AVFUSION_WEIGHTS"
CACHE_VARIABLE = "AVFUSION_CACHE"
VERSION = "v0_4_0"
_SUFFIXES = (".safetensors", ".h5", ".h5.gz")

_log = logging.getLogger(__name__)


def official_name(config: L3Config, branch: Branch) -> str:
    """The file name without version and suffix, for instance `openl3_audio_mel256_env`."""
    return f"openl3_{branch}_{config.input_repr}_{config.content_type}"


def cache_folder() -> Path:
    """Where verified weights are kept: $AVFUSION_CACHE, else avfusion in the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "avfusion"


def load_official(
    config: L3Config, branch: Branch, given: str | Path | None = None, base_url: str = OFFICIAL_URL
) -> tuple[Subnetwork, str]:
    """(subnetwork, where its weights came from), by the first that has them of:

    1. `given`: a folder, a file, or files separated by commas, 2. the same in $AVFUSION_WEIGHTS,
    3. the cache, 4. an installed openl3 package, 5. the official download, which fills the cache.

    Raises UserError when 1 or 2 is set but lacks the branch, when a file is damaged or belongs to
    another network, and when the download fails.
    """
    chosen = given or os.environ.get(WEIGHTS_VARIABLE)
    if chosen:
        return _from_chosen(config, branch, str(chosen), "weights" if given else f"${WEIGHTS_VARIABLE}")
    name = official_name(config, branch)
    for folder in (cache_folder(), *_installed_folders()):
        path = _in_folder(folder, name)
        if path is not None:
            return _load(config, branch, path), str(path)
    return _from_download(config, branch, base_url)


def _from_chosen(config: L3Config, branch: Branch, chosen: str, setting: str) -> tuple[Subnetwork, str]:
    """Weights from the folder or the files that the user named in `setting`."""
    name = official_name(config, branch)
    for part in chosen.split(","):
        path = Path(part.strip()).expanduser()
        if path.is_dir():
            found = _in_folder(path, name)
            if found is not None:
                return _load(config, branch, found), str(found)
        elif path.is_file():
            state = _state_of(config, branch, path)
            if state:
                return build_subnetwork(config.subnetwork(branch), state, str(path)), str(path)
        else:
            raise UserError(f"{setting}: {path.absolute()} does not exist; expected a folder or a weight file")
    raise UserError(
        f"{setting}={chosen} holds no {branch} network; expected {name}-{VERSION}.h5 (or .h5.gz, "
        ".safetensors) in that folder, or one file per modality separated by a comma"
    )


def _in_folder(folder: Path, name: str) -> Path | None:
    candidates = (folder / f"{stem}{suffix}" for suffix in _SUFFIXES for stem in (f"{name}-{VERSION}", name))
    return next((path for path in candidates if path.is_file()), None)


def _installed_folders() -> Iterator[Path]:
    """The folder of an installed openl3 package, which keeps its weights beside its code; not imported."""
    spec = importlib.util.find_spec("openl3")
    yield from map(Path, (spec.submodule_search_locations or []) if spec else [])


def _load(config: L3Config, branch: Branch, path: Path) -> Subnetwork:
    state = _state_of(config, branch, path)
    if not state:
        raise UserError(f"{path} holds no {branch} network")
    return build_subnetwork(config.subnetwork(branch), state, str(path))


def _state_of(config: L3Config, branch: Branch, path: Path) -> State:
    """The branch's weights in one file; empty if it is the other branch's."""
    if path.suffix == ".safetensors":
        return read_safetensors(path, branch)
    layers = read_layers(path)
    if branch_of(layers) != branch:
        return {}
    return keras_state(layers, config.subnetwork(branch), str(path))


def _from_download(config: L3Config, branch: Branch, base_url: str) -> tuple[Subnetwork, str]:
    """Download, verify, convert; what stays is one safetensors file in the cache."""
    stem = f"{official_name(config, branch)}-{VERSION}"
    target = cache_folder() / f"{stem}.safetensors"

    def convert(archive: Path) -> None:
        network = _load(config, branch, archive)
        save_weights(target, {branch: network}, {"source": f"{base_url}{stem}.h5.gz"})

    download_official(f"{stem}.h5.gz", target, convert, base_url)
    _log.info("weights of the %s network: %s", branch, target)
    return _load(config, branch, target), str(target)
