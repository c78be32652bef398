"""YAMNet and EfficientNet-Lite0 the usual way, to compare with: eager PyTorch, all frames decoded, clip by clip."""

from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.io import wavfile
from scipy.signal import resample_poly
from torch.nn import functional

from avfusion.embedders.efficientnet_lite0 import network as efficientnet_lite0
from avfusion.embedders.pretrained.weights import load_weights
from avfusion.embedders.yamnet import network as yamnet
from avfusion.embedders.yamnet.frontend import SAMPLE_RATE, log_mel, padded

Array = NDArray[np.float32]


class UsualPair:
    """Decodes every frame, takes the wanted ones, runs the networks as they are written, BatchNorms and all."""

    def __init__(self) -> None:
        self.ears, self.eyes = yamnet.YAMNet(), efficientnet_lite0.EfficientNetLite0()
        load_weights(self.ears, yamnet.NAME, yamnet.SHIPPED)
        load_weights(self.eyes, efficientnet_lite0.NAME, efficientnet_lite0.SHIPPED)

    def embed_clip(self, sound: Path, pictures: Path, n_frames: int) -> tuple[Array, Array]:
        """Features of the sound [T, 1024] and of `n_frames` pictures [n_frames, 1280] of a clip."""
        with torch.inference_mode():
            return self._sound(sound), self._pictures(pictures, n_frames)

    def _sound(self, path: Path) -> Array:
        rate, samples = wavfile.read(path)
        mono = resample_poly((samples.astype(np.float32) / 32768).mean(axis=1), SAMPLE_RATE, rate)
        patches = log_mel(torch.from_numpy(padded(mono.astype(np.float32)))).unfold(0, 96, 48).transpose(1, 2)
        embeddings: Array = self.ears(patches).numpy()
        return embeddings

    def _pictures(self, path: Path, n_frames: int) -> Array:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        wanted = np.linspace(0, len(frames) - 1, n_frames).astype(int)
        stacked = torch.from_numpy(np.stack([frames[index] for index in wanted])).permute(0, 3, 1, 2).float()
        scale = 256 / min(stacked.shape[2:])
        size = [int(side * scale) for side in stacked.shape[2:]]
        scaled = functional.interpolate(stacked, size, mode="bicubic", antialias=True).clamp(0, 255)
        top, left = (round((side - 224) / 2) for side in size)
        crops = scaled[:, :, top : top + 224, left : left + 224]
        features: Array = self.eyes((crops - 127) / 128).numpy()
        return features
