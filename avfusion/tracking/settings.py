"""With what a logged run was trained, where that is not the default."""

from avfusion.fusion import variants
from avfusion.tracking.lookup import LoggedRun
from avfusion.training.experiment import hyperparameters


def changed_settings(run: LoggedRun) -> str:
    """The hyperparameters of `run` that are not the defaults, which are the study's: `epochs = 20 (default 100)`."""
    known = variants().get(run.variant)
    if known is None:
        return ""
    defaults = {name: entry.default for name, entry in hyperparameters(known).items()}
    changed = [
        f"{name} = {run.params[name]} (default {default})"
        for name, default in defaults.items()
        if run.params.get(name, str(default)) != str(default)
    ]
    return ", ".join(changed)
