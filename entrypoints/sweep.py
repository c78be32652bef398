"""Entry point `sweep`."""

from entrypoints.command import command

cli = command("sweep")

if __name__ == "__main__":
    cli()
