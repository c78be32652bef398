"""Entry point `sweep`."""

from entrypoints.command import CONTINUES, Job, command


def load() -> Job:
    """Train late fusion for each alpha, choose alpha on validation, draw accuracy against alpha."""
    from avfusion.jobs.sweep import sweep_job

    return sweep_job


cli = command("sweep", ["features", "alphas", "seeds", "params", "workers", "device"], load, again=CONTINUES)

if __name__ == "__main__":
    cli()
