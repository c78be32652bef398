"""Entry point `compare`."""

from entrypoints.command import BEGINS_ANEW, Job, command


def load() -> Job:
    """Whether variants can be told apart, how well calibrated and how robust they are, as one page."""
    from avfusion.jobs.compare import compare_job

    return compare_job


OPTIONS = [
    "experiment", "filter", "runs", "predictions", "locations", "shifts", "cities", "output", "device", "promote",
]  # fmt: skip

cli = command("compare", OPTIONS, load, again=BEGINS_ANEW)

if __name__ == "__main__":
    cli()
