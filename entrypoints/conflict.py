"""Entry point `conflict`."""

from entrypoints.command import BEGINS_ANEW, Job, command


def load() -> Job:
    """Where the audio and the video model disagree, and what a fused model makes of it."""
    from avfusion.jobs.conflict import conflict_job

    return conflict_job


cli = command("conflict", ["audio", "video", "fused", "output"], load, again=BEGINS_ANEW)

if __name__ == "__main__":
    cli()
