"""What a session of `lmmkit lab` saves stays trusted; Jupyter's server calls these before and after a save.

A save is an edit within the session when what it replaces was trusted, or was saved by this session. A file
that was changed by anybody else in between is neither: its next save in the session does not make it trusted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmmkit.errors import LmmkitError
from lmmkit.study.records.notebooks import Notebook, read_notebook
from lmmkit.study.records.trusted_notebooks import is_trusted, trust

OPTIONS = (
    f"--ContentsManager.pre_save_hook={__name__}.before_save",
    f"--ContentsManager.post_save_hook={__name__}.after_save",
)
#: Digests of what this session has found trusted or has saved, and of what it is about to save, by path.
_OURS: set[str] = set()
_SAVING: dict[Path, str] = {}


def before_save(*, model: dict[str, Any], path: str, contents_manager: Any, **_: Any) -> None:
    """Note what is about to be saved, when it replaces what is trusted."""
    place = Path(contents_manager.root_dir) / path
    _SAVING.pop(place, None)
    if model.get("type") != "notebook" or not model.get("content"):
        return
    try:
        fresh = Notebook(place, json.dumps(model["content"]).encode())
        old = read_notebook(place) if place.exists() else None
        new = old is None and not any(fresh.code())
        if new or (old is not None and (old.digest in _OURS or is_trusted(old))) or fresh.digest in _OURS:
            _SAVING[place] = fresh.digest
    except LmmkitError:
        return


def after_save(*, os_path: str, **_: Any) -> None:
    """Trust what has been saved, when it is what was about to be."""
    place = Path(os_path)
    digest = _SAVING.pop(place, None)
    if digest is None:
        return
    book = read_notebook(place)
    if book.digest == digest:
        _OURS.add(digest)
        trust([book])
