"""What the original networks computed for sounds and pictures that a rule fixes, and how far ours are from it.

`tests/data/yamnet_golden.npz` was computed with TensorFlow 2.15.1 from the SavedModel that the weights come from:
`SECONDS|scores`, `|embeddings`, `|log_mel`. `tests/data/lite0_golden.npz` holds `PICTURE|features` and `|logits`.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avfusion.embedders.efficientnet_lite0.network import EfficientNetLite0
from avfusion.embedders.efficientnet_lite0.pictures import SIDE, normalised
from avfusion.embedders.yamnet.frontend import SAMPLE_RATE, log_mel, padded, stream_patches
from avfusion.embedders.yamnet.network import YAMNet

SOUNDS = {"1.7s": (1.7, 7), "0.5s": (0.5, 8), "4.03s": (4.03, 9), "0.975s": (0.975, 10)}  # seconds, seed

Goldens = Mapping[str, npt.NDArray[np.float32]]
Pairs = dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]


def sound(seconds: float, seed: int) -> npt.NDArray[np.float32]:
    """A chirp, an interrupted tone and noise at 16 kHz: [int(16000 * seconds)]."""
    t = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    chirp = 0.3 * np.sin(2 * np.pi * (200 * t + 900 * t**2))
    tone = 0.2 * np.sin(2 * np.pi * 440 * t) * (np.sin(2 * np.pi * 3 * t) > 0)
    return (chirp + tone + 0.05 * np.random.RandomState(seed).standard_normal(len(t))).astype(np.float32)


def pictures() -> dict[str, npt.NDArray[np.uint8]]:
    """A pattern of waves, and noise: each [224, 224, 3]."""
    y, x = np.mgrid[:SIDE, :SIDE]
    waves = [0.5 + 0.5 * np.sin(x / 13 + y / 31), 0.5 + 0.5 * np.cos(x / 23 - y / 11), (x % 64) / 64]
    noise = np.random.RandomState(5).randint(0, 256, (SIDE, SIDE, 3))
    return {"pattern": np.floor(255 * np.stack(waves, axis=-1)).astype(np.uint8), "noise": noise.astype(np.uint8)}


def yamnet_pairs(network: YAMNet, goldens: Goldens) -> Pairs:
    """Name -> (ours, the original's) of every log-mel, embedding and score in `goldens`."""
    computed: dict[str, Tensor] = {}
    with torch.inference_mode():
        for name, (seconds, seed) in SOUNDS.items():
            samples = sound(seconds, seed)
            computed[f"{name}|log_mel"] = log_mel(torch.from_numpy(padded(samples)))
            embeddings = torch.cat([network(patches) for patches in stream_patches([samples], 4)])
            computed |= {f"{name}|embeddings": embeddings, f"{name}|scores": network.scores(embeddings)}
    return _pairs(computed, goldens)


def lite0_pairs(network: EfficientNetLite0, goldens: Goldens) -> Pairs:
    """Name -> (ours, the original's) of all features and logits in `goldens`."""
    computed: dict[str, Tensor] = {}
    with torch.inference_mode():
        for name, picture in pictures().items():
            features = network(normalised(picture[None]))
            computed |= {f"{name}|features": features, f"{name}|logits": network.logits(features)}
    return _pairs(computed, goldens)


def relative_l2(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> float:
    """|ours - theirs| / |theirs|."""
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def cosine(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> float:
    """The smallest cosine between a row of ours and of theirs, [N, D] each."""
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float(((ours * theirs).sum(axis=1) / norms).min())


def _pairs(computed: Mapping[str, Tensor], goldens: Goldens) -> Pairs:
    missing: Iterable[str] = set(computed) ^ set(goldens)
    if missing:
        raise ValueError(f"the goldens and what is computed differ in {', '.join(sorted(missing))}")
    return {name: (tensor.float().numpy(), goldens[name]) for name, tensor in computed.items()}
