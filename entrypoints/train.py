"""Entry point `train`."""

from entrypoints.command import CONTINUES, Job, command


def load() -> Job:
    """Train fusion variants on a feature store, each a run of its own."""
    from avfusion.jobs.train import train_job

    return train_job


OPTIONS = ["features", "variants", "seeds", "params", "device", "allow_outside", "register"]

cli = command("train", OPTIONS, load, again=CONTINUES)

if __name__ == "__main__":
    cli()
