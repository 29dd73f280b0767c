"""What a command says goes where it belongs, on one line; closed streams lead nowhere."""

import os
import sys

import pytest

from lmmkit.study.cli.say import say, standard_streams


@pytest.mark.parametrize("error", [False, True])
def test_lines_go_to_their_stream_and_are_spelled_out(capsys, error):
    say("one\ntwo", 3, "\x1b[2J", error=error)
    out, err = capsys.readouterr()
    assert (err if error else out) == "one\\ntwo\n3\n\\x1b[2J\n"
    assert (out if error else err) == ""


def test_a_stream_that_was_closed_leads_nowhere(tmp_path):
    """In a child of this process: what is opened next takes no stream's number."""
    child = os.fork()
    if child == 0:
        try:
            os.closerange(0, 3)
            standard_streams()
            opened = os.open(tmp_path / "found", os.O_WRONLY | os.O_CREAT)
            null = os.stat(os.devnull).st_rdev  # noqa: PTH116
            nowhere = [os.fstat(number).st_rdev == null for number in range(3)]
            for stream in (sys.stdout, sys.stderr):
                stream.write("lost")
                stream.flush()
            os.write(opened, f"{nowhere} {sys.stdin.read()!r} {opened > 2}".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / "found").read_text() == "[True, True, True] '' True"
