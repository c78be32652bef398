"""Entry point `export`."""

from entrypoints.command import BEGINS_ANEW, Job, command


def load() -> Job:
    """Write a feature store as HDF5 files in the layout of the course."""
    from avfusion.jobs.export import export_job

    return export_job


cli = command("export", ["features", "output"], load, again=BEGINS_ANEW)

if __name__ == "__main__":
    cli()
