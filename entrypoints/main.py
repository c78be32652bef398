"""Entry point `main`."""

from entrypoints.command import command

cli = command("main")

if __name__ == "__main__":
    cli()
