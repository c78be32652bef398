"""Each variant twice, by other hands: its forward pass written out from its weights, and its number of parameters."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import batch_norm, gelu, layer_norm, relu

State = dict[str, Tensor]
"""Weights by name, as `state_dict` gives them."""


def normed(state: State, name: str, x: Tensor) -> Tensor:
    mean, variance, weight, bias = (
        state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return batch_norm(x, mean, variance, weight, bias, training=False)


def linear(state: State, name: str, x: Tensor) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def block(state: State, name: str, x: Tensor) -> Tensor:
    return linear(state, f"{name}.4", relu(normed(state, f"{name}.1", linear(state, f"{name}.0", x))))


def output(state: State, name: str, x: Tensor) -> Tensor:
    return linear(state, f"{name}.1", linear(state, f"{name}.0", x))


def plain_audio_only(state: State, audio: Tensor, video: Tensor) -> Tensor:
    return output(state, "output", block(state, "embed", audio.mean(1)))


def plain_video_only(state: State, audio: Tensor, video: Tensor) -> Tensor:
    return output(state, "output", block(state, "embed", video.mean(1)))


def plain_baseline(state: State, audio: Tensor, video: Tensor) -> Tensor:
    both = [block(state, "audio", audio.mean(1)), block(state, "video", video.mean(1))]
    return output(state, "output", torch.cat(both, 1))


def plain_early(state: State, audio: Tensor, video: Tensor) -> Tensor:
    return block(state, "joint", torch.cat([audio.mean(1), video.mean(1)], 1))


def plain_late(state: State, audio: Tensor, video: Tensor) -> Tensor:
    scores = [
        output(state, f"{name}.1", block(state, f"{name}.0", x.mean(1)))
        for name, x in (("audio", audio), ("video", video))
    ]
    return 0.7 * scores[0] + 0.3 * scores[1]


def plain_class_weighted_late(state: State, audio: Tensor, video: Tensor) -> Tensor:
    sound, picture = (
        output(state, f"{name}.1", block(state, f"{name}.0", x.mean(1)))
        for name, x in (("audio", audio), ("video", video))
    )
    return sound + state["video_weight"] * picture


def plain_flatten(state: State, audio: Tensor, video: Tensor) -> Tensor:
    both = [block(state, "audio", audio.flatten(1)), block(state, "video", video.flatten(1))]
    return output(state, "output", torch.cat(both, 1))


def recurrent(state: State, name: str, x: Tensor) -> Tensor:
    """A 2-layer bidirectional LSTM, one frame at a time."""
    for layer in range(2):
        directions = []
        for suffix, frames in (("", range(x.shape[1])), ("_reverse", reversed(range(x.shape[1])))):
            w_in, w_hidden, b_in, b_hidden = (
                state[f"{name}.{part}_l{layer}{suffix}"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            h = c = torch.zeros(len(x), w_hidden.shape[1])
            states: dict[int, Tensor] = {}
            for t in frames:
                i, f, g, o = (x[:, t] @ w_in.T + b_in + h @ w_hidden.T + b_hidden).chunk(4, 1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = states[t] = o.sigmoid() * c.tanh()
            directions.append(torch.stack([states[t] for t in range(x.shape[1])], 1))
        x = torch.cat(directions, 2)
    return x


def plain_lstm(state: State, audio: Tensor, video: Tensor) -> Tensor:
    both = [
        block(state, f"{name}.embed", recurrent(state, f"{name}.lstm", x).flatten(1))
        for name, x in (("audio", audio), ("video", video))
    ]
    return output(state, "output", torch.cat(both, 1))


def plain_two_stage(state: State, audio: Tensor, video: Tensor) -> Tensor:
    embedded = []
    for name, x in (("audio", audio), ("video", video)):
        hidden = relu(normed(state, f"{name}.embed.1", linear(state, f"{name}.embed.0", x.flatten(0, 1))))
        embedded.append(linear(state, f"{name}.embed.4", hidden))
    frames = output(state, "output", torch.cat(embedded, 1)).softmax(1)
    return frames.view(len(audio), -1, 3).mean(1).log()


def plain_posthoc_late(state: State, audio: Tensor, video: Tensor) -> Tensor:
    sound, picture = (
        output(state, f"{name}.output", block(state, f"{name}.embed", x.mean(1))).softmax(1)
        for name, x in (("audio", audio), ("video", video))
    )
    return (0.4 * sound + 0.6 * picture).log()


def plain_gated(state: State, audio: Tensor, video: Tensor) -> Tensor:
    a, v = audio.mean(1), video.mean(1)
    z = torch.sigmoid(linear(state, "gate", torch.cat([a, v], 1)))
    h = z * torch.tanh(linear(state, "audio", a)) + (1 - z) * torch.tanh(linear(state, "video", v))
    return linear(state, "output.1", h)


def plain_low_rank(state: State, audio: Tensor, video: Tensor) -> Tensor:
    """By the full tensor: every product of [a; 1] and [v; 1], weighed by the sum of the factors' outer products."""
    sides, factors = [], []
    for name, x in (("audio", audio), ("video", video)):
        embedded = block(state, f"{name}.0", x.mean(1))
        sides.append(torch.cat([embedded, torch.ones(len(x), 1)], 1))
        with_bias = torch.cat([state[f"{name}.1.weight"], state[f"{name}.1.bias"][:, None]], 1)
        factors.append(with_bias.view(RANK, -1, embedded.shape[1] + 1))
    tensor = torch.einsum("rha,rhv->hav", *factors)
    return linear(state, "output", torch.einsum("na,nv,hav->nh", *sides, tensor) + state["bias"])


def plain_hybrid(state: State, audio: Tensor, video: Tensor) -> Tensor:
    def below(name: str) -> State:
        return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}

    parts = (("audio", plain_audio_only), ("video", plain_video_only), ("joint", plain_baseline))
    return torch.stack([plain(below(name), audio, video) for name, plain in parts]).mean(0)


def plain_evidential(state: State, audio: Tensor, video: Tensor) -> Tensor:
    """By Dempster's rule, in beliefs."""
    beliefs, doubts = [], []
    for name, x in (("audio", audio), ("video", video)):
        evidence = torch.log1p(output(state, f"{name}.1", block(state, f"{name}.0", x.mean(1))).exp())
        total = (evidence + 1).sum(1, keepdim=True)
        beliefs.append(evidence / total)
        doubts.append(evidence.shape[1] / total)
    agreed = beliefs[0] * beliefs[1]
    against = beliefs[0].sum(1, keepdim=True) * beliefs[1].sum(1, keepdim=True) - agreed.sum(1, keepdim=True)
    belief = (agreed + beliefs[0] * doubts[1] + beliefs[1] * doubts[0]) / (1 - against)
    doubt = doubts[0] * doubts[1] / (1 - against)
    strength = belief.shape[1] / doubt
    return ((belief * strength + 1) / strength).log()


def layer_normed(state: State, name: str, x: Tensor) -> Tensor:
    return layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


def tokens(state: State, name: str, x: Tensor) -> Tensor:
    """Frames in pairs: three tokens of six frames."""
    x = linear(state, f"{name}.embed", torch.stack([x[:, 0:2].mean(1), x[:, 2:4].mean(1), x[:, 4:6].mean(1)], 1))
    width = x.shape[2]
    for position in range(3):
        for column in range(width):
            angle = position / 10_000 ** (2 * (column // 2) / width)
            x[:, position, column] += math.cos(angle) if column % 2 else math.sin(angle)
    return x


def transformer_layer(state: State, name: str, x: Tensor, context: Tensor | None = None) -> Tensor:
    """One head after the other."""
    normed = layer_normed(state, f"{name}.norm", x)
    seen = normed if context is None else layer_normed(state, f"{name}.context_norm", context)
    query = linear(state, f"{name}.attention.query", normed)
    key, value = seen @ state[f"{name}.attention.key.weight"].T, linear(state, f"{name}.attention.value", seen)
    width, heads = query.shape[2] // HEADS, []
    for start in range(0, query.shape[2], width):
        q, k, v = (part[..., start : start + width] for part in (query, key, value))
        heads.append(torch.softmax(q @ k.mT / width**0.5, 2) @ v)
    x = x + linear(state, f"{name}.attention.output", torch.cat(heads, 2))
    hidden = linear(state, f"{name}.feed_forward.1", layer_normed(state, f"{name}.feed_forward.0", x))
    return x + linear(state, f"{name}.feed_forward.3", gelu(hidden))


def plain_cross_attention(state: State, audio: Tensor, video: Tensor) -> Tensor:
    first = {name: tokens(state, f"{name}.tokens", x) for name, x in (("audio", audio), ("video", video))}
    means = []
    for own, other in (("audio", "video"), ("video", "audio")):
        x = first[own]
        for number in range(2):
            x = transformer_layer(state, f"{own}.layers.{number}", x, first[other])
        means.append(layer_normed(state, f"{own}.norm", x).mean(1))
    return linear(state, "output", torch.cat(means, 1))


def plain_bottleneck(state: State, audio: Tensor, video: Tensor) -> Tensor:
    streams = {
        name: torch.cat([state[f"{name}.first"].expand(len(x), 1, -1), tokens(state, f"{name}.tokens", x)], 1)
        for name, x in (("audio", audio), ("video", video))
    }
    for name, x in streams.items():
        streams[name] = transformer_layer(state, f"{name}.layers.0", x)  # the one without bottlenecks
    shared = state["bottlenecks"].expand(len(audio), -1, -1)
    for number in (1, 2):
        updates = []
        for name, x in streams.items():
            both = transformer_layer(state, f"{name}.layers.{number}", torch.cat([x, shared], 1))
            streams[name] = both[:, :4]
            updates.append(both[:, 4:])
        shared = (updates[0] + updates[1]) / 2
    classified = [layer_normed(state, f"{name}.norm", x[:, 0]) for name, x in streams.items()]
    return linear(state, "output", (classified[0] + classified[1]) / 2)


RANK, HEADS = 3, 2
PLAIN: dict[str, tuple[Callable[..., Tensor], dict[str, str]]] = {
    "audio_only": (plain_audio_only, {}),
    "video_only": (plain_video_only, {}),
    "baseline": (plain_baseline, {}),
    "early": (plain_early, {}),
    "late": (plain_late, {"alpha": "0.3"}),
    "class_weighted_late": (plain_class_weighted_late, {}),
    "flatten": (plain_flatten, {}),
    "lstm": (plain_lstm, {}),
    "two_stage": (plain_two_stage, {}),
    "posthoc_late": (plain_posthoc_late, {"rule": "alpha", "alpha": "0.6"}),
    "gated": (plain_gated, {}),
    "low_rank": (plain_low_rank, {"rank": str(RANK), "embedding": "5"}),
    "hybrid": (plain_hybrid, {}),
    "cross_attention": (plain_cross_attention, {"tokens": "3", "hidden": "8", "heads": str(HEADS)}),
    "bottleneck": (plain_bottleneck, {"tokens": "3", "hidden": "8", "heads": str(HEADS), "unimodal_layers": "1"}),
    "evidential": (plain_evidential, {}),
}
"""By id: the forward pass in evaluation mode, from audio [N, 6, Da] and video [N, 6, Dv] to scores [N, 3], and the
hyperparameters for which it is written."""


def n_block(n_in: int, n_out: int, hidden: int = 512) -> int:
    return n_in * hidden + hidden + 2 * hidden + hidden * n_out + n_out


def n_output(n_in: int, hidden: int, n_classes: int = 10) -> int:
    return n_in * hidden + hidden + hidden * n_classes + n_classes


def n_lstm(n_in: int, hidden: int) -> int:
    """Four gates, two biases each, two directions, two layers."""
    return sum(2 * 4 * hidden * (n + hidden + 2) for n in (n_in, 2 * hidden))


def n_frame_classifier(n_classes: int = 10) -> int:
    """BatchNorm(128), Linear(128, 64), BatchNorm(64), Linear(64, C)."""
    return 2 * 128 + 128 * 64 + 64 + 2 * 64 + 64 * n_classes + n_classes


def n_layer(width: int, *, crossed: bool = False) -> int:
    """Attention (the keys have no bias), two or three LayerNorms, and a network of twice the width."""
    attention, norms = 4 * width**2 + 3 * width, (3 if crossed else 2) * 2 * width
    return attention + norms + 2 * (2 * width * width) + 2 * width + width


def n_attending(n_in: int, width: int, layers: int, *, crossed: bool = False) -> int:
    """One modality: Linear, layers, LayerNorm."""
    return n_in * width + width + layers * n_layer(width, crossed=crossed) + 2 * width


COUNTS = {
    "audio_only": n_block(512, 128) + n_output(128, 128),
    "video_only": n_block(512, 128) + n_output(128, 128),
    "baseline": 2 * n_block(512, 128) + n_output(256, 128),
    "early": n_block(1024, 10, hidden=1024),
    "late": 2 * (n_block(512, 128) + n_output(128, 256)),
    "class_weighted_late": 2 * (n_block(512, 128) + n_output(128, 256)) + 10,
    "flatten": 2 * n_block(96 * 512, 128) + n_output(256, 128),
    "lstm": 2 * (n_lstm(512, 256) + n_block(96 * 512, 128)) + n_output(256, 128),
    "two_stage": 2 * (n_block(512, 128) + n_frame_classifier()) + n_output(256, 128),
    "posthoc_late": 2 * (n_block(512, 128) + n_output(128, 128)),
    "gated": 2 * (512 * 256 + 256) + (1024 * 256 + 256) + 256 * 10 + 10,
    "low_rank": 2 * (n_block(512, 128) + 129 * 8 * 128) + 128 + 128 * 10 + 10,
    "hybrid": 2 * (n_block(512, 128, 256) + n_output(128, 128)) + 2 * n_block(512, 128, 256) + n_output(256, 128),
    "cross_attention": 2 * n_attending(512, 128, 2, crossed=True) + 256 * 10 + 10,
    "bottleneck": 2 * (n_attending(512, 128, 2) + 128) + 4 * 128 + 128 * 10 + 10,
    "evidential": 2 * (n_block(512, 128) + n_output(128, 256)),
}
"""By id: parameters for 512 values a frame, 96 frames and 10 classes, by default."""
