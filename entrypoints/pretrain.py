"""Entry point `pretrain`."""

from entrypoints.command import command

cli = command("pretrain")

if __name__ == "__main__":
    cli()
