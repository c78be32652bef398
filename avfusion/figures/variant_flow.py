"""What flows where in a variant, read off one pass of a clip through it: the boxes and arrows of its diagram.

A layer is a step; so is a network that another file defines, a function of a fusion module, and whatever else is
computed between them. What only gives values another shape is none. Steps in a row become one box.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import avfusion.fusion
from avfusion.figures.variant_steps import JOINED, Step, in_words, join_concatenated, join_rows, needed
from avfusion.fusion import FusionNetwork, Shape, build

HOUSE = str(Path(avfusion.fusion.__file__).parent)
MODALITIES = {"audio": "sound", "video": "picture"}

RESHAPING = {
    "getitem", "reshape", "view", "expand", "unflatten", "float", "squeeze", "unsqueeze", "detach", "to", "contiguous",
    "transpose", "pad", "unbind",
}  # fmt: skip
"""Functions that give values another shape, or a part of them, and nothing else."""
SIGNS = {"mul": "×", "rmul": "×", "add": "+", "radd": "+", "sub": "−", "truediv": "÷", "div": "÷"}


def variant_flow(variant: type[FusionNetwork], shape: Shape) -> list[Step]:
    """The boxes of `variant` with its default hyperparameters, each after its sources; the last gives the scores."""
    with torch.device("meta"):  # no initial weights, which nobody looks at
        network = build(variant, shape, {name: entry.default for name, entry in variant.hyperparameters.items()})
    network.to_empty(device="cpu").eval()
    inputs = {
        "audio": torch.zeros(1, shape.n_frames, shape.audio_dim),
        "video": torch.zeros(1, shape.n_frames, shape.video_dim),
    }
    recorder = _Recorder(network, inputs)
    with torch.no_grad(), recorder:
        scores = network(inputs["audio"], inputs["video"])
    last = Step("both", ["scores"], tuple(scores.shape[1:]), recorder.steps_of(scores))
    join_concatenated(last)
    join_rows(last)
    return needed(last)


class _Recorder(TorchFunctionMode):
    """Notes the steps of a network while it computes."""

    def __init__(self, network: nn.Module, inputs: dict[str, Tensor]) -> None:
        super().__init__()
        self.made: dict[int, Step] = {}
        """The step that made a tensor, by the tensor's id."""
        self.kept: list[Any] = []
        """Tensors and frames, so that no id is given twice."""
        self.known: dict[Any, Step] = {}
        """Steps by what they compute, so that nothing is drawn twice."""
        self.closed = 0
        """How many layers, one within the other, are computing."""
        self.groups: list[int] = [0]
        for modality, values in inputs.items():
            size = tuple(values.shape[1:])
            self._made_by(Step(modality, [f"{MODALITIES[modality]} {in_words(size)}"], size, kind="input"), values)
        own = type(network).__module__
        for name, module in network.named_modules():
            zone = next((part for part in name.split(".") if part in MODALITIES), "")
            if isinstance(module, nn.Sequential):
                module.register_forward_pre_hook(self._enter)
                module.register_forward_hook(self._leave)
            elif module is not network and type(module).__module__ not in (own, nn.ModuleList.__module__):
                module.register_forward_pre_hook(self._begin)
                module.register_forward_hook(self._end(zone))
        for name, weights in [*network.named_parameters(), *network.named_buffers()]:
            zone = next((part for part in name.split(".") if part in MODALITIES), "both")
            text = name.rpartition(".")[2].replace("_", " ")
            self._made_by(Step(zone, [text], tuple(weights.shape), kind="weights"), weights)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute, and note what was computed unless a layer does it."""
        result = func(*args, **(kwargs or {}))
        if not self.closed:
            self._note(func.__name__.strip("_"), args, kwargs or {}, result)
        return result

    def steps_of(self, values: object) -> list[Step]:
        """The different steps that made the tensors in `values`, in their order."""
        found = [self.made[id(tensor)] for tensor in _tensors(values) if id(tensor) in self.made]
        return list(dict.fromkeys(found))

    def _note(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        sources = self.steps_of((args, kwargs))
        if not sources or not any(True for _ in _tensors(result)):
            return
        if name in RESHAPING:
            self._made_by(sources[0], result)
        elif frame := _function_of_the_house():
            self.kept.append(frame)
            text = frame.f_code.co_name.replace("_", " ")
            step = self.known.setdefault(id(frame), Step(_zone(sources), [text], ()))
            step.sources += [source for source in sources if source not in (step, *step.sources)]
            step.zone = _zone(step.sources)
            self._made_by(step, result)
        else:
            others = [value for value in (*args, *kwargs.values()) if not isinstance(value, Tensor | list | tuple)]
            key = (name, *map(id, _tensors((args, kwargs))), *map(repr, others))
            step = Step(_zone(sources), [_text(name, args, others)], (), sources)
            self._made_by(self.known.setdefault(key, step), result)

    def _made_by(self, step: Step, result: object) -> None:
        for tensor in _tensors(result):
            self.made[id(tensor)] = step
            self.kept.append(tensor)
            if step.kind == "function":
                step.size = tuple(tensor.shape[1:])

    def _enter(self, module: nn.Module, args: object) -> None:
        self.groups.append(id(module))

    def _leave(self, module: nn.Module, args: object, result: object) -> None:
        self.groups.pop()

    def _begin(self, module: nn.Module, args: object) -> None:
        self.closed += 1

    def _end(self, zone: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, args: object, result: object) -> None:
            self.closed -= 1
            if not self.closed:
                sources = self.steps_of(_heard(module, args))
                given = next(_tensors(result))
                step = Step(
                    zone or _zone(sources), [_layer(module)], tuple(given.shape[1:]), sources, "layer", self.groups[-1]
                )
                self._made_by(step, result)

        return hook


def _heard(module: nn.Module, args: Any) -> Any:
    """What a module looks at of its arguments: a variant of one modality is given both."""
    if not isinstance(module, FusionNetwork):
        return args
    return [values for modality, values in zip(MODALITIES, args, strict=True) if modality in module.modalities]


def _tensors(values: object) -> Iterator[Tensor]:
    """All tensors in nested lists, tuples and dictionaries."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _tensors(value)


def _function_of_the_house() -> Any:
    """The frame of the outermost function of a fusion module that computes now; None within methods alone."""
    found, frame = None, sys._getframe(1)
    while frame.f_back is not None:
        if frame.f_code.co_filename.startswith(HOUSE) and "." not in frame.f_code.co_qualname:
            found = frame
        frame = frame.f_back
    return found


def _zone(sources: list[Step]) -> str:
    zones = {source.zone for source in sources if source.kind != "weights"}
    return zones.pop() if len(zones) == 1 else "both"


def _text(name: str, args: tuple[Any, ...], others: list[Any]) -> str:
    """What a function does, in few words or signs."""
    number = next((f" {other:.3g}" for other in others if isinstance(other, float | int)), "")
    if name in SIGNS:
        return SIGNS[name] + number
    if name == "rsub":
        return f"{number.strip()} −"
    if name == "mean":
        return "mean over time" if number == " 1" else "mean"
    if name == "flatten":
        return "each frame by itself" if number == " 0" else "flattened"
    return {"cat": JOINED, "sum": "summed"}.get(name, name.replace("_", " "))


def _layer(module: nn.Module) -> str:
    """What a layer is, in few words."""
    if isinstance(module, FusionNetwork):
        return module.title
    if isinstance(module, nn.Linear):
        return f"Linear {module.in_features:,} → {module.out_features:,}"
    if isinstance(module, nn.LSTM):
        both = ", both directions" if module.bidirectional else ""
        return f"LSTM of {module.num_layers} layers{both}, {module.hidden_size} each"
    name = type(module).__name__.removesuffix("1d")
    if isinstance(module, nn.BatchNorm1d | nn.LayerNorm | nn.ReLU | nn.GELU):
        return name
    return f"{name} {module.extra_repr()}".replace("p=", "").strip()
