"""The three standard streams, whoever starts the process."""

from __future__ import annotations

import os
import sys


def standard_streams() -> None:
    """Streams that were closed by whoever started the process lead nowhere.

    Else the next file that is opened takes the number of one, and what is printed lands in it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
