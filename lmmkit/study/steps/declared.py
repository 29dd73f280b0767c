"""The settings that a notebook declares to read, and no others."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from lmmkit.errors import StudyError


class Declared:
    """Settings of a study, of which only the declared keys can be read."""

    def __init__(self, section: BaseModel, reads: frozenset[str], step: str, parent: str = ""):
        self._section, self._reads, self._step, self._parent = section, reads, step, parent

    def __getattr__(self, name: str) -> Any:
        key = f"{self._parent}{name}"
        if not hasattr(self._section, name):
            raise StudyError(f"a study has no key {key}; see docs/study.schema.json")
        value = getattr(self._section, name)
        if key in self._reads:
            return value
        if any(read.startswith(f"{key}.") for read in self._reads):
            return Declared(value, self._reads, self._step, f"{key}.")
        raise StudyError(
            f"{self._step} reads {key}, which its notebook does not declare under `lmmkit.reads`"
        )
