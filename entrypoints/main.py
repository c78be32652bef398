"""Entry point `main`."""

from entrypoints.command import Job, command


def load() -> Job:
    """From clips to compared fusion variants: extract, train, summary."""
    from avfusion.jobs.main import main_job

    return main_job


cli = command(
    "main",
    [
        "data",
        "output",
        "embedder",
        "weights",
        "precision",
        "device",
        "modalities",
        "strict",
        "allow_outside",
        "timeout",
        "variants",
        "seeds",
        "params",
        "register",
    ],
    load,
)

if __name__ == "__main__":
    cli()
