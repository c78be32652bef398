"""The unimodal models that go along with a fusion's, for clips that lack a modality."""

from avfusion.training.classifier import SceneClassifier
from avfusion.training.experiment import Trained

Companions = dict[int, dict[str, SceneClassifier]]
"""Seed -> unimodal classifiers of the same job, by the id of their variant."""


def accompany(trained: Trained, companions: Companions) -> None:
    """Give a fusion the `companions` of its seed; a unimodal variant becomes one."""
    of_seed = companions.setdefault(trained.seed, {})
    if len(trained.variant.modalities) > 1:
        trained.classifier.companions |= of_seed
    else:
        of_seed[trained.variant.id] = trained.classifier
