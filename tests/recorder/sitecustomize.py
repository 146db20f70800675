"""Python imports it first where its folder is on PYTHONPATH: the file RECORD gets each process and its connections."""

import json
import os
import sys
from typing import Any


def record(event: str, what: Any) -> None:
    with open(os.environ["RECORD"], "a") as file:  # noqa: PTH123 -- pathlib would be an import of every process
        file.write(json.dumps([event, what]) + "\n")


def hook(event: str, arguments: tuple[Any, ...]) -> None:
    """Others than this machine, by address or by name; a path is a socket of this machine too."""
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
    elif event == "socket.getaddrinfo":
        address = arguments[:2]
    else:
        return
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        record(event, str(address))


sys.addaudithook(hook)
record("start", sys.orig_argv)
