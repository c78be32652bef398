"""Entry point `report`."""

from entrypoints.command import BEGINS_ANEW, Job, command


def load() -> Job:
    """Every table and figure of the study, published beside ours, as one page."""
    from avfusion.jobs.report import report_job

    return report_job


cli = command("report", ["experiment", "predictions", "output"], load, again=BEGINS_ANEW)

if __name__ == "__main__":
    cli()
