"""Entry point `tune`."""

from entrypoints.command import command

cli = command("tune")

if __name__ == "__main__":
    cli()
