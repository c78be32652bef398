"""Entry point `pretrain`."""

from entrypoints.command import CONTINUES, Job, command


def load() -> Job:
    """Train L3-Net on audio-visual correspondence, from unlabelled clips."""
    from avfusion.jobs.pretrain import pretrain_job

    return pretrain_job


cli = command("pretrain", ["data", "output", "preset", "steps", "seed", "device"], load, again=CONTINUES)

if __name__ == "__main__":
    cli()
