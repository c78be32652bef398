"""Entry point `train`."""

from entrypoints.command import command

cli = command("train")

if __name__ == "__main__":
    cli()
