"""What features are made of, in words: shown wherever their results are."""

from collections.abc import Mapping
from typing import Any


def check_provenance(provenance: Mapping[str, Any]) -> None:
    """Raises ValueError for a provenance that lacks what is said of it here."""
    check_embedder(provenance)
    _check(provenance, "dataset", "synthetic")


def check_embedder(provenance: Mapping[str, Any]) -> None:
    """Raises ValueError for a provenance that does not say which embedder made the features."""
    _check(provenance, "embedder", "trained")


def _check(provenance: Mapping[str, Any], part: str, truth: str) -> None:
    entry = provenance.get(part) if isinstance(provenance, dict) else None
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not isinstance(entry.get(truth), bool):
        raise ValueError(f"it does not say of the {part} its name and whether it is {truth}")


def embedder_in_words(provenance: Mapping[str, Any]) -> str:
    """The embedder's name, and `untrained` where its weights are."""
    embedder = provenance["embedder"]
    return str(embedder["name"]) + ("" if embedder["trained"] else " (untrained)")


def dataset_in_words(provenance: Mapping[str, Any]) -> str:
    """The dataset's name, and `synthetic` where it is."""
    dataset = provenance["dataset"]
    return str(dataset["name"]) + (" (synthetic)" if dataset["synthetic"] else "")


def title(provenance: Mapping[str, Any]) -> str:
    """Dataset and embedder in a few words."""
    return f"{dataset_in_words(provenance)}, features: {embedder_in_words(provenance)}"


def note(provenance: Mapping[str, Any]) -> str | None:
    """What a figure must not leave out: that scenes are synthetic or weights untrained; None if neither."""
    warnings = []
    if provenance["dataset"]["synthetic"]:
        warnings.append("synthetic scenes")
    if not provenance["embedder"]["trained"]:
        warnings.append("untrained embedder")
    return ", ".join(warnings) or None


def tags(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Run tags: `data` and `embedder`, in words."""
    return {"data": dataset_in_words(provenance), "embedder": embedder_in_words(provenance)}
