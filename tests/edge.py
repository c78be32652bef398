"""Jobs as users start them: options as text, through the table of options and the parser of the command line."""

from typing import Any

from entrypoints.command import command, load_job


def parsed(entry_point: str, **options: str) -> dict[str, Any]:
    """The values that the job of `entry_point` gets for these options; those not named have their defaults."""
    arguments = [f"--{option}={text}" for option, text in options.items()]
    return dict(command(entry_point).make_context(entry_point, arguments).params)


def run_job(entry_point: str, **options: str) -> list[str]:
    """The lines of the job of `entry_point` for these options, in this process."""
    return load_job(entry_point)(**parsed(entry_point, **options))
