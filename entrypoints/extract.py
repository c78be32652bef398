"""Entry point `extract`."""

from entrypoints.command import command

cli = command("extract")

if __name__ == "__main__":
    cli()
