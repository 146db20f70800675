"""The one exception that a user's mistake or a damaged file ends in."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 300
SECRET = re.compile(
    r"(?i)(?<=://)[^/\s]*@"  # up to the last @, as a password may hold one
    r"|(password|passwd|pwd|token|secret|key|signature|sig|credential)=[^&;\s'\"]+"
)


class PipelineError(Exception):
    """A failure that is reported in one message, without a traceback.

    The message names the file, key or image at fault, what was expected and what to do.
    """


def one_line(message: object) -> str:
    """Somebody else's text in one printable line, without passwords; of a long one, its two ends.

    Errors of libraries and answers of servers may hold line breaks, escape sequences for the terminal, and the
    addresses that a user configured.
    """
    text = " ".join("".join(character if character.isprintable() else " " for character in str(message)).split())
    text = SECRET.sub(lambda found: "…@" if found[0].endswith("@") else f"{found[1]}=…", text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


@contextmanager
def explained(failed: str, *kinds: type[Exception]) -> Iterator[None]:
    """Raise errors of some kinds, which are of a library, as a `PipelineError` that begins with what `failed`."""
    try:
        yield
    except kinds as error:
        raise PipelineError(f"{failed}: {one_line(error)}") from error
