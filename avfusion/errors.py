"""The one exception that users are meant to see."""


class UserError(Exception):
    """A mistake that the user can mend.

    The message is one line: what came, what was expected, what to do. Entry points print it
    without a traceback and exit with code 2.
    """


def unknown(kind: str, given: str, choices: list[str]) -> UserError:
    """The error for a name that is not one of `choices`; it lists them."""
    return UserError(f"unknown {kind} {given!r}; choose from: {', '.join(sorted(choices))}")
