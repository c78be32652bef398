"""Entry point `predict`."""

from entrypoints.command import command

cli = command("predict")

if __name__ == "__main__":
    cli()
