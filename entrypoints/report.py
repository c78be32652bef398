"""Entry point `report`."""

from entrypoints.command import command

cli = command("report")

if __name__ == "__main__":
    cli()
