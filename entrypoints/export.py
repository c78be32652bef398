"""Entry point `export`."""

from entrypoints.command import command

cli = command("export")

if __name__ == "__main__":
    cli()
