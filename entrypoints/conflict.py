"""Entry point `conflict`."""

from entrypoints.command import command

cli = command("conflict")

if __name__ == "__main__":
    cli()
