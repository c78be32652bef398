"""A trained variant with all that is needed to use it again: standardisation, classes, hyperparameters, origin.

On disk it is a folder of two files, `weights.safetensors` and `classifier.json`, and a folder `companions` of more such
folders; nothing is pickled.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from avfusion.errors import UserError
from avfusion.features import MODALITIES
from avfusion.features.layout import FIRST_FRAMES
from avfusion.features.provenance import check_embedder
from avfusion.fusion import FusionNetwork, Shape, build, variants
from avfusion.fusion.base import paired, to_length
from avfusion.system.files import read_object, refuse_larger
from avfusion.system.names import check_name
from avfusion.training.classifier import COMPANIONS, DESCRIPTION, Classifier, Description
from avfusion.training.standardization import Standardize

WEIGHTS = "weights.safetensors"
MOST_MEBIBYTES = 2048
"""Size of the weights of a classifier; those of the study's largest variant take 200."""


class SceneClassifier(Classifier):
    """One trained variant: raw features in, class scores [B, C] out (see `Classifier`)."""

    def __init__(
        self, description: Description, audio: Standardize, video: Standardize, network: FusionNetwork
    ) -> None:
        super().__init__(description)
        self.companions: dict[str, SceneClassifier] = {}
        self.standardize_audio = audio
        self.standardize_video = video
        self.network = network

    @property
    def modalities(self) -> tuple[str, ...]:
        """See `Classifier`; those of its variant."""
        return self.network.modalities

    @property
    def pools_time(self) -> bool:
        """See `Classifier`."""
        return self.network.pools_time

    @property
    def any_length(self) -> bool:
        """See `Classifier`."""
        return self.network.any_length

    @property
    def diagnosed(self) -> Mapping[str, str]:
        """See `Classifier`."""
        return self.network.diagnosed

    @property
    def without_companion(self) -> str:
        """See `Classifier`."""
        return f"train it in one job with {{only}}_only, as variants={{only}}_only,{self.description.variant}"

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Class scores [B, C] (unnormalised log-probabilities) of features as the embedder gives them."""
        scores: Tensor = self.network(*self._prepared(audio, video))
        return scores

    def answers(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """See `Classifier`."""
        return self.network.answers(*self._prepared(audio, video))

    def diagnostics(self, audio: Tensor, video: Tensor) -> dict[str, Tensor]:
        """See `Classifier`."""
        return self.network.diagnostics(*self._prepared(audio, video))

    def _prepared(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised, cut as it was for training, paired, and of the length that the variant needs."""
        first = self._first_frames
        audio, video = self.standardize_audio(audio[:, :first]), self.standardize_video(video[:, :first])
        if self.network.pools_time:
            return audio, video
        audio, video = self.pair(audio, video)
        if self.network.any_length:
            return audio, video
        n_frames = self.description.shape.n_frames
        return to_length(audio, n_frames), to_length(video, n_frames)

    def pair(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """See `Classifier`."""
        return audio, paired(video, audio.shape[1], frame_by_frame=self._first_frames is not None)

    @property
    def _first_frames(self) -> int | None:
        """How many frames of a clip it learned from; None for all."""
        first: int | None = self.description.features.get("parameters", {}).get(FIRST_FRAMES)
        return first

    def mean_frame(self, modality: str) -> Tensor:
        """See `Classifier`."""
        return (self.standardize_audio if modality == "audio" else self.standardize_video).mean

    def save(self, folder: Path) -> None:
        """See `Classifier`."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        save_file(state, folder / WEIGHTS)
        (folder / DESCRIPTION).write_text(json.dumps(asdict(self.description), indent=2), encoding="utf-8")
        for name, companion in self.companions.items():
            companion.save(folder / COMPANIONS / name)

    @classmethod
    def load(cls, folder: Path) -> "SceneClassifier":
        """The classifier that `save` wrote, in evaluation mode; `UserError` if `folder` holds none or a damaged one."""
        try:
            fields = read_object(folder / DESCRIPTION)
            fields |= {"shape": Shape(**fields["shape"]), "classes": tuple(fields["classes"])}
            fields |= {"answers_alone": tuple(fields.get("answers_alone", ()))}
            description = Description(**fields)
            refuse_larger(folder / WEIGHTS, MOST_MEBIBYTES)
            _check(description, shapes := _shapes(folder / WEIGHTS))
            classifier = cls.empty(description)
            _check_network(classifier, shapes)
            classifier.to_empty(device="cpu").load_state_dict(load_file(folder / WEIGHTS))
        except (UserError, OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{folder} holds no usable classifier ({reason}); train it again") from error
        for companion in sorted(folder.glob(f"{COMPANIONS}/*/")):
            classifier.companions[companion.name] = cls.load(companion)
        return classifier.eval()

    @classmethod
    def empty(cls, description: Description) -> "SceneClassifier":
        """A classifier of the right shapes, on torch's device `meta`: it has no numbers, and takes no memory."""
        shape, variant = description.shape, variants()[description.variant]
        with torch.device("meta"):
            audio, video = (
                Standardize(np.zeros(dim, np.float32), np.zeros(dim, np.float32))
                for dim in (shape.audio_dim, shape.video_dim)
            )
            return cls(description, audio, video, build(variant, shape, description.params))


def _shapes(weights: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in the file, by name."""
    with safe_open(weights, framework="pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no iterator


def _check(description: Description, found: dict[str, tuple[int, ...]]) -> None:
    """Raises ValueError where a description does not fit the weights' shapes, before anything is made of either."""
    shape, n_named = description.shape, len(description.classes)
    check_embedder(description.features)
    if not all(isinstance(name, str) for name in description.classes):
        raise ValueError("its classes are not all names")
    if not set(description.answers_alone) <= set(MODALITIES):
        raise ValueError(f"it answers from {', '.join(description.answers_alone)} alone, expected audio or video")
    for name in description.classes:
        check_name("its description", "class", name)
    if n_named != shape.n_classes:
        raise ValueError(f"it names {n_named} classes, its network has {shape.n_classes}")
    for name, entry in variants()[description.variant].hyperparameters.items():
        try:
            entry.parse(str(description.params[name]))
        except ValueError:
            raise ValueError(f"{name}={description.params[name]}: expected {entry.expected}") from None
    for modality, dim in (("audio", shape.audio_dim), ("video", shape.video_dim)):
        if found.get(f"standardize_{modality}.mean") != (dim,):
            raise ValueError(f"it claims {dim} values in a frame of {modality}, its weights are of another size")


def _check_network(classifier: SceneClassifier, found: dict[str, tuple[int, ...]]) -> None:
    """Raises ValueError where the weights' shapes are not those of the classifier that the description makes."""
    expected = {name: tuple(tensor.shape) for name, tensor in classifier.state_dict().items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ValueError(f"{name} has shape {found.get(name)}, its description makes {expected.get(name)}")
