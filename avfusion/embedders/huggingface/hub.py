"""Where the files of a model lie: in a folder, in the cache of the Hugging Face hub, or on the hub itself.

Of a model on the hub only its settings and its safetensors are fetched, into the hub's own cache (`HF_HOME`). With
`HF_HUB_OFFLINE=1`, and where the hub does not answer, what is in the cache already is taken.
"""

import errno
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from avfusion.errors import UserError
from avfusion.system.files import read_object

CONFIG = "config.json"
SETTINGS = (CONFIG, "preprocessor_config.json", "processor_config.json")
"""What a model says of itself: its sizes, and how sound or pictures are prepared for it."""
WEIGHTS, SHARDS = "model.safetensors", "model.safetensors.index.json"

_WEIGHTS = (WEIGHTS, SHARDS, "model-*-of-*.safetensors")
_PATIENCE = 10.0  # seconds for the hub's first answer
_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)
_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?")


def model_folder(model: str, *, with_weights: bool = True) -> Path:
    """The folder with the files of `model`: a folder itself, or a name on the hub, as `OWNER/MODEL[@REVISION]`.

    Without weights, its settings are enough. Raises UserError for a name that is neither, and a model that cannot be
    had or has no safetensors.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        if not _REPOSITORY.fullmatch(model):
            raise UserError(
                f"hf:{model}: there is no such folder, and no model of the hub is called so; expected OWNER/MODEL, "
                "OWNER/MODEL@REVISION, or a folder that has config.json and model.safetensors"
            )
        repository, _, revision = model.partition("@")
        folder = _from_hub(repository, revision or "main", (*SETTINGS, *(_WEIGHTS if with_weights else ())))
    folder = folder.absolute()
    if not (folder / CONFIG).is_file():
        raise UserError(f"hf:{model}: {folder} has no {CONFIG}; expected a folder as transformers' save_pretrained")
    if with_weights:
        weights_in(folder, f"hf:{model}")
    return folder


def weights_in(folder: Path, shown: str = "") -> list[Path]:
    """The safetensors files of a model's folder; UserError where there are none, or one of several is missing.

    What is said begins with `shown`, or with the folder.
    """
    files = [folder / WEIGHTS]
    if not files[0].is_file() and (folder / SHARDS).is_file():  # transformers, too, prefers the whole file
        try:
            names = set(map(str, read_object(folder / SHARDS)["weight_map"].values()))
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise UserError(f"{folder / SHARDS} cannot be read: {error}; fetch it again") from None
        files = [folder / name for name in sorted(names)]
    if missing := [file.name for file in files if not file.is_file()]:
        raise UserError(f"{shown or folder} has no {missing[0]}; {_ONLY_SAFETENSORS}")
    return files


def commit_of(folder: Path) -> str | None:
    """The commit that `folder` holds, if it lies in the hub's cache."""
    return folder.name if folder.parent.name == "snapshots" else None


_ONLY_SAFETENSORS = (
    "weights are read from safetensors alone, since pickled ones may run code; the hub's converter often offers them "
    "as OWNER/MODEL@refs/pr/NUMBER"
)


def _from_hub(repository: str, revision: str, patterns: Sequence[str]) -> Path:
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    fetch = partial(snapshot_download, repository, revision=revision, allow_patterns=list(patterns))
    try:
        HfApi().model_info(repository, revision=revision, timeout=_PATIENCE)  # for this alone the client waits so long
        return Path(fetch())
    except GatedRepoError:
        raise UserError(f"hf:{repository}: its owner wants terms accepted on the hub, and HF_TOKEN set") from None
    except RevisionNotFoundError:
        raise UserError(f"hf:{repository} has no revision {revision!r} on the hub") from None
    except RepositoryNotFoundError:
        raise UserError(f"hf:{repository}: the hub has no such model, or shows it only to some (HF_TOKEN)") from None
    except Exception as error:  # whatever a network can raise; the hub's client has changed its own more than once
        if isinstance(error, OSError) and error.errno in _OF_DISKS:
            raise UserError(
                f"hf:{repository} cannot be kept in {constants.HF_HUB_CACHE} ({error.strerror}); mend that, or set "
                "HF_HOME to another folder"
            ) from error
        reason = " ".join(str(error).split())[:200]
    try:
        return Path(fetch(local_files_only=True))
    except LocalEntryNotFoundError:
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"the hub does not answer ({reason})"
        raise UserError(
            f"hf:{repository}: {why}, and the cache has no whole revision {revision!r} of it; connect, or copy the "
            "model's folder here and name that, as hf:FOLDER"
        ) from None
