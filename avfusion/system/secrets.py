"""Secrets of addresses (passwords, tokens, keys), which no log, run or message may show.

Addresses come from users, who type them as options, and from the messages of libraries.
"""

import re

from avfusion.errors import UserError

MASK = "***"

# Up to the last "@" of a word, for passwords may hold "/" and "@". Of web addresses digits before a "/" are a port: an
# "@" behind it is no end of a password. (The lookbehind keeps the match from beginning again within the scheme.)
_PASSWORD = re.compile(
    r"(?<![\w+.-])(?!(?:\w+\+)?(?i:https?)://[^\s/@:'\"]*:\d{1,5}(?:[/?#\s]|$))"
    r"(?P<kept>[a-zA-Z][\w+.-]*://[^\s/@:'\"]*:)[^\s'\"]*(?=@)"
)
_TOKEN = re.compile(r"(?P<kept>https?://)[^\s/@:'\"]+(?=@)")
_QUERY = re.compile(
    r"(?P<kept>[?&;](?!viewStateShareKey=)"  # of MLflow, for a saved view
    r"[\w.-]*(?:password|passwd|pwd|secret|token|signature|credential|key|sig)[\w.-]*=)[^\s&;#'\"]+",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """`text` with `***` in place of each secret of an address in it.

    Secrets are the password of `scheme://user:password@host`, the user of `https://token@host`, and the values of
    query parameters named after passwords, keys, tokens and signatures; not so the key of a saved view of MLflow.

    >>> masked("postgresql://ada:engine@host/studies")
    'postgresql://ada:***@host/studies'
    """
    if "://" not in text:
        return text
    for secret in (_PASSWORD, _TOKEN, _QUERY):
        text = secret.sub(lambda found: found["kept"] + MASK, text)
    return text


def refuse_secret(option: str, value: str) -> None:
    """Raises `UserError` if the address `value` of an option holds a secret: MLflow logs what `mlflow run` was given.

    The message shows the address masked, and says where its secret belongs.
    """
    if masked(value) == value:
        return
    if value.startswith("postgres"):
        elsewhere = (
            "the password file (~/.pgpass, or the file that PGPASSFILE names), or name a service, as "
            "postgresql:///?service=NAME"
        )
    else:
        elsewhere = (
            "what its file system reads: the environment (AWS_SECRET_ACCESS_KEY ...) or ~/.config/fsspec/conf.json"
        )
    raise UserError(
        f"{option}={masked(value)}: the address holds a secret, which MLflow would log for everybody to read; "
        f"leave it out and put it into {elsewhere}"
    )
