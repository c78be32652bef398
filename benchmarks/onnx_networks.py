"""OpenL3's networks in ONNX Runtime, the fastest engine of direct float32 convolution that was found for processors."""

import io
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from avfusion.l3.folding import FoldedSubnetwork
from avfusion.l3.network import Subnetwork

Array = NDArray[np.float32]


class OnnxNetwork:
    """A folded subnetwork in ONNX Runtime, on `threads` threads."""

    def __init__(self, network: Subnetwork, threads: int) -> None:
        import onnxruntime

        self.batch_size = 4
        example = torch.zeros(2, network.config.in_channels, *network.config.input_size)
        file = io.BytesIO()
        program: Any = torch.onnx.export(
            FoldedSubnetwork(network),
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
        program.save(file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])

    def embed(self, inputs: Array) -> Array:
        """Embeddings [N, 512] of `inputs` [N, C, H, W]."""
        name = self._session.get_inputs()[0].name
        starts = range(0, len(inputs), self.batch_size)
        return np.concatenate([self._session.run(None, {name: inputs[i : i + self.batch_size]})[0] for i in starts])

    def choose_batch_size(self, inputs: Array) -> None:
        """Take the fastest of some batch sizes on this machine."""
        seconds = {}
        for self.batch_size in (1, 2, 4, 8, 16):
            begun = time.perf_counter()
            self.embed(inputs)
            seconds[self.batch_size] = time.perf_counter() - begun
        self.batch_size = min(seconds, key=lambda size: seconds[size])
