"""Entry point `ensemble`."""

from entrypoints.command import command

cli = command("ensemble")

if __name__ == "__main__":
    cli()
