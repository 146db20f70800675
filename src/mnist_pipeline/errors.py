"""The one exception that a user's mistake or a damaged file ends in."""


class PipelineError(Exception):
    """A failure to be told in one message, without a traceback.

    The message names the file, key or image at fault, what was expected and what to do.
    """


LONGEST = 300


def in_one_line(error: BaseException) -> str:
    """The message of somebody else's error; of a long one, its two ends, as causes stand last."""
    text = " ".join(str(error).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
