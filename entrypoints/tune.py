"""Entry point `tune`."""

from entrypoints.command import CONTINUES, Job, command


def load() -> Job:
    """Search a variant's hyperparameters by validation, then compare the best with the default."""
    from avfusion.jobs.tune import tune_job

    return tune_job


OPTIONS = [
    "features", "variant", "trials", "workers", "metric", "sampler", "pruner", "space", "storage", "study", "retrain",
    "device", "promote",
]  # fmt: skip

cli = command("tune", OPTIONS, load, again=CONTINUES)

if __name__ == "__main__":
    cli()
