"""The one exception that a user's mistake or a damaged file ends in."""


class PipelineError(Exception):
    """A failure to be told in one message, without a traceback.

    The message names the file, key or image at fault, what was expected and what to do.
    """
