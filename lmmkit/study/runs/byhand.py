"""The steps before a notebook run by hand: `python -m lmmkit.study.runs.byhand`, its order on stdin."""

from __future__ import annotations

import json
import sys

from lmmkit.errors import LmmkitError
from lmmkit.study.kernels.light import without_grammars

with without_grammars():
    from lmmkit.study.runs.session import make_by_hand


def main() -> None:
    """Make the steps, or say in a line why not."""
    try:
        make_by_hand(json.load(sys.stdin))
    except LmmkitError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
