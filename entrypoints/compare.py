"""Entry point `compare`."""

from entrypoints.command import command

cli = command("compare")

if __name__ == "__main__":
    cli()
