"""Entry point `train`."""

from entrypoints.command import Job, command


def load() -> Job:
    """Train fusion variants on a feature store, each a run of its own."""
    from avfusion.jobs.train import train_job

    return train_job


cli = command("train", ["features", "variants", "seeds", "params", "device", "allow_outside", "register"], load)

if __name__ == "__main__":
    cli()
