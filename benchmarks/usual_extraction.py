"""The usual way to OpenL3 embeddings in PyTorch, to compare with: eager, float32, NCHW, everything decoded first."""

import time
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.io import wavfile

from avfusion.l3.frontend import Frontend
from avfusion.l3.loading import load_networks
from avfusion.l3.network import Subnetwork
from avfusion.l3.presets import Branch, openl3_config

Array = NDArray[np.float32]
HOP, RATE, SIDE = 4800, 48_000, 224


class UsualExtraction:
    """Decodes all frames, prepares the wanted ones with scikit-image, runs the networks as they are written.

    `batch_size` 32 is openl3's default.
    """

    def __init__(self, device: torch.device, batch_size: int = 32) -> None:
        config = openl3_config()
        self.device, self.batch_size = device, batch_size
        networks = load_networks(config, "untrained").networks
        self.networks = {branch: network.to(device).eval() for branch, network in networks.items()}
        self.frontend = Frontend(config.frontend).to(device)

    def embed_clip(self, sound: Path, pictures: Path) -> tuple[Array, Array]:
        """Features of the sound [96, 512] and of the pictures [96, 512] of a 10-s clip."""
        spectrograms, frames = self.prepare(sound, pictures)
        return self.embed("audio", spectrograms), self.embed("image", np.moveaxis(frames, -1, 1))

    def prepare(self, sound: Path, pictures: Path) -> tuple[Array, Array]:
        """Spectrograms [96, 1, 256, 199] and pictures [96, 224, 224, 3]."""
        windows, frames = self.read(sound, pictures)
        with torch.inference_mode():
            spectrograms = [self.frontend(part.to(self.device)) for part in torch.split(torch.from_numpy(windows), 32)]
        return torch.cat(spectrograms).cpu().numpy(), frames

    def read(self, sound: Path, pictures: Path) -> tuple[Array, Array]:
        """Windows [96, 48000] and pictures [96, 224, 224, 3]."""
        rate, samples = wavfile.read(sound)
        assert rate == RATE
        mono = (samples.astype(np.float32) / 32768).mean(axis=1)
        n_windows = 1 + -(-(len(mono) - RATE // 2) // HOP)
        padded = np.concatenate([np.zeros(RATE // 2, np.float32), mono, np.zeros(RATE, np.float32)])
        windows = np.stack([padded[start : start + RATE] for start in HOP * np.arange(n_windows)])
        with av.open(str(pictures)) as container:
            container.streams.video[0].thread_type = "AUTO"
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        wanted = np.linspace(0, len(frames) - 1, n_windows).astype(int)
        return windows, np.stack([_picture(frames[index]) for index in wanted])

    def embed(self, branch: Branch, inputs: Array) -> Array:
        """Embeddings [N, 512] of `inputs` [N, C, H, W]."""
        network = self.networks[branch]
        with torch.inference_mode():
            parts = torch.split(torch.from_numpy(np.ascontiguousarray(inputs)), self.batch_size)
            embeddings = torch.cat([network(part.to(self.device)) for part in parts])
        result: Array = embeddings.cpu().numpy()
        return result

    def best_batch_size(self, branch: Branch, inputs: Array) -> int:
        """The fastest of some batch sizes on this machine."""
        seconds = {}
        for self.batch_size in (1, 2, 4, 8, 32):
            begun = time.perf_counter()
            self.embed(branch, inputs)
            seconds[self.batch_size] = time.perf_counter() - begun
        return min(seconds, key=lambda size: seconds[size])


def count_operations(network: Subnetwork) -> int:
    """Floating-point operations of the convolutions for one input: two for each product."""
    height, width = network.config.input_size
    total = 0
    for index, (n_in, n_out) in enumerate(network.config.convolutions):
        total += 2 * 9 * n_in * n_out * height * width
        if index % 2 == 1:
            height, width = height // 2, width // 2
    return total


def _picture(frame: NDArray[np.uint8]) -> Array:
    """One frame by scikit-image: [224, 224, 3]."""
    from skimage.transform import rescale

    scaled = rescale(frame, 256 / min(frame.shape[:2]), order=1, anti_aliasing=False, channel_axis=-1)
    top, left = (side // 2 - SIDE // 2 for side in scaled.shape[:2])
    return np.asarray(scaled[top : top + SIDE, left : left + SIDE], np.float32)
