"""Entry point `main`."""

from entrypoints.command import CONTINUES, EXTRACTION, Job, command


def load() -> Job:
    """From clips to compared fusion variants: extract, train, summary."""
    from avfusion.jobs.main import main_job

    return main_job


cli = command("main", [*EXTRACTION, "variants", "seeds", "params", "register"], load, again=CONTINUES)

if __name__ == "__main__":
    cli()
