"""3x3 convolutions with a quarter of the multiplications: Winograd's minimal filtering, F(4x4, 3x3).

Source: Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (2015, arXiv 1509.09308). Strips, points and
the order of steps are our own.

**One dimension.** A filter g of 3 taps on 6 inputs d gives 4 outputs, y[k] = g[0] d[k] + g[1] d[k+1] + g[2] d[k+2],
which takes 12 products. The same problem turned round (transposed) is easier: multiply a polynomial of 3 coefficients
by one of 4. The product has 6 coefficients, so its values at 6 points fix it, and at a point it is one product of two
numbers. So: evaluate both at the points (matrices G and A), multiply, interpolate (B). Turned back, that is
y = A^T [(G g) * (B^T d)] with 6 products.

**Two dimensions.** The same along columns and rows: Y = A^T [(G g G^T) * (B^T d B)] A makes a tile of 4x4 outputs from
6x6 inputs with 36 products instead of 144. Tiles of inputs overlap by two. G g G^T is prepared once. A and B are the
same for all channels, so both transforms are products of a small matrix and a very wide one. What is left of the sum
over channels is, at each of a tile's 36 points, a product [tiles, C] x [C, O]: most of the work.

**Rounding.** The points decide how large the numbers in between become. 0, 3/4, -3/4, 3/2, -3/2 and infinity lose half
as much as the usual 0, 1, -1, 2, -2 and infinity, and all of A and B is exact in float32.

**Memory.** A map is filtered in strips of about `STRIP` tiles. What lies between input and output are two buffers, in
turn, of 37 * max(C, O) numbers a tile: 2 MB each with 128 channels, about a core's cache. Weights take 36 / 9 = 4 times
their usual memory.

Inputs are filtered one by one, and every size follows from the shape of one: the bits do not depend on the batch.

Shapes: B inputs, C channels in, O channels out, H x W a map, p x q its tiles, t rows of tiles in a strip.
"""

import math
from collections.abc import Iterator
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from avfusion.l3.presets import SubnetworkConfig

VERSION = "winograd F(4x4, 3x3), 1"
"""Names the algorithm in the provenance of features: it rounds differently from a direct convolution."""

POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)  # and infinity
STRIP = 100  # tiles
_OUT, _IN = 4, 6  # sides of a tile's output and input

Matrix = NDArray[np.float64]


def winograd_layers(config: SubnetworkConfig) -> frozenset[int]:
    """The convolutions (from 0) of a subnetwork that are faster so: many channels, and a map of some size.

    The limits are between the layers of OpenL3 that were faster and those that were not (benchmarks/README.md). They
    are the same on every machine, since they decide how numbers round.
    """
    found, (height, width) = set(), config.input_size
    for index, channels in enumerate(config.convolutions):
        if min(channels) >= 64 and height * width >= 512:
            found.add(index)
        if index % 2 == 1:
            height, width = height // 2, width // 2
    return frozenset(found)


def uses_winograd(config: SubnetworkConfig, device: torch.device, precision: str) -> bool:
    """Whether layers of such a subnetwork are convolved so."""
    return device.type == "cpu" and precision == "float32" and bool(winograd_layers(config))


def matrices() -> tuple[Matrix, Matrix, Matrix]:
    """A [6, 4], G [6, 3] and B [6, 6]: a row of A and of G, and a column of B, for each point, the last for infinity.

    A and G evaluate polynomials: 1, x, x^2, ...; at infinity, the highest coefficient. A column of B is the polynomial,
    lowest coefficient first, that is 0 at all other points; G is divided by what it is at its own point.
    """
    points = np.array(POINTS)
    others = [np.delete(points, index) for index in range(len(points))]
    at_point = np.array([np.prod(point - other) for point, other in zip(points, others, strict=True)])
    a = np.vstack([np.vander(points, _OUT, increasing=True), np.eye(_OUT)[-1]])
    g = np.vstack([np.vander(points, 3, increasing=True) / at_point[:, None], np.eye(3)[-1]])
    b = np.array([*([*np.poly(other)[::-1], 0.0] for other in others), np.poly(points)[::-1]]).T
    return a, g, b


class WinogradLayer(nn.Module):
    """A 3x3 convolution with padding 1 and what follows it, for inference in float32.

    Args:
        convolution: it must have a bias.
        relu: whether ReLU follows.
        norm: scale [O] and shift [O] of a BatchNorm after ReLU, if any.
        pool: whether 2x2 max pooling comes last.
    """

    weight: Tensor
    into: Tensor
    out_of: Tensor
    bias: Tensor
    norm: Tensor | None

    def __init__(self, convolution: nn.Conv2d, *, relu: bool, norm: tuple[Tensor, Tensor] | None, pool: bool) -> None:
        super().__init__()
        self.clamp = relu and norm is None  # at the very end, where the map is smaller
        self.pool = pool
        a, g, b = (torch.from_numpy(matrix) for matrix in matrices())
        kernel = convolution.weight.detach().double().flatten(2)  # [O, C, 9]
        weight = torch.empty(_IN**2, *kernel.shape[1::-1])
        # Point by point, since all of them in float64 would take half as much memory as the whole process.
        for point, (column, row) in zip(weight, product(g, g), strict=True):
            point.copy_((kernel @ torch.outer(row, column).flatten()).T)
        # The bias is a 37th product, which goes into all 16 outputs as it is.
        out_of = torch.cat([torch.kron(a.T, a.T), torch.ones(_OUT**2, 1)], dim=1)
        assert convolution.bias is not None
        self.register_buffer("weight", weight)  # [36, C, O]
        self.register_buffer("into", b.T.float().contiguous())  # [6, 6]
        self.register_buffer("out_of", out_of.float())  # [16, 37]
        self.register_buffer("bias", convolution.bias.detach().float())
        self.register_buffer("norm", None if norm is None else torch.stack(norm).float())  # [2, O]

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, O, H, W], or half of each side with `pool`; best in channels_last, as the result is."""
        batch, _, height, width = inputs.shape
        side = 2 if self.pool else _OUT  # of what a tile leaves
        p, q = -(-height // _OUT), -(-width // _OUT)
        maps = inputs.new_empty(batch, p, side, q, side, self.weight.shape[2])
        for image, result in zip(inputs.permute(0, 2, 3, 1), maps, strict=True):
            for first, outputs in self._strips(image, p, q):
                finished = self._finished(outputs).permute(2, 1, 3, 0, 4)  # [t, side, q, side, O]
                torch.clamp_min(finished, 0 if self.clamp else -math.inf, out=result[first : first + len(finished)])
        whole = maps.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
        return whole[:, :, : height * side // _OUT, : width * side // _OUT]

    def _strips(self, image: Tensor, p: int, q: int) -> Iterator[tuple[int, Tensor]]:
        """(first row of tiles, outputs [4 columns, 4 rows, t, q, O]) of each strip of `image` [H, W, C]."""
        width, (_, n_in, n_out) = image.shape[1], self.weight.shape
        t = -(-p // max(1, round(p * q / STRIP)))
        one, other = (image.new_empty((_IN**2 + 1) * t * q * max(n_in, n_out)) for _ in range(2))
        columns = _part(one, _IN, t, _OUT * q + 2, n_in)  # transformed within columns
        tiles = _part(other, _IN, _IN, t, q, n_in)  # and cut into tiles: [place in the row, point, ...]
        points = _part(one, _IN**2, t * q, n_in)  # transformed within rows, too
        products = _part(other, _IN**2 + 1, t * q, n_out)
        outputs = _part(one, _OUT, _OUT, t, q, n_out)
        for start in range(0, p, t):
            first = min(start, p - t)  # the last strip may overlap the one before
            for row in range(t):
                window = _rows(image, _OUT * (first + row) - 1).flatten(1)
                torch.mm(self.into, window, out=columns[:, row, 1 : width + 1].flatten(1))
            columns[:, :, 0] = 0
            columns[:, :, width + 1 :] = 0
            tiles.copy_(columns.unfold(2, _IN, _OUT).permute(4, 0, 1, 2, 3))
            torch.mm(self.into, tiles.flatten(1), out=points.view(_IN, -1))
            torch.bmm(points, self.weight, out=products[:-1])
            products[-1] = self.bias
            torch.mm(self.out_of, products.flatten(1), out=outputs.view(_OUT**2, -1))
            yield first, outputs

    def _finished(self, outputs: Tensor) -> Tensor:
        """What follows the convolution, but for a ReLU at the end; it may change `outputs`."""
        if self.norm is not None:
            scale, shift = self.norm
            torch.addcmul(shift, torch.relu_(outputs), scale, out=outputs)
        if self.pool:
            outputs = torch.maximum(outputs[0::2], outputs[1::2])
            outputs = torch.maximum(outputs[:, 0::2], outputs[:, 1::2])
        return outputs


def _part(memory: Tensor, *shape: int) -> Tensor:
    return memory[: math.prod(shape)].view(shape)


def _rows(image: Tensor, top: int) -> Tensor:
    """The 6 rows of `image` [H, W, C] from `top` on; those outside of it are zero."""
    above, below = max(0, -top), max(0, top + _IN - len(image))
    inside = image[max(0, top) : top + _IN]
    return functional.pad(inside, (0, 0, 0, 0, above, below)) if above or below else inside
