"""Entry point `extract`."""

from entrypoints.command import CONTINUES, EXTRACTION, Job, command


def load() -> Job:
    """Embed the sound and the picture of every clip into a feature store."""
    from avfusion.jobs.extract import extract_job

    return extract_job


cli = command("extract", EXTRACTION, load, again=CONTINUES)

if __name__ == "__main__":
    cli()
