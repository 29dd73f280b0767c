"""A value that an object makes once, when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    lazy = cached_property
else:

    class lazy(cached_property):  # noqa: N801  used as a decorator
        """`functools.cached_property` without its lock.

        Until Python 3.11 that lock is one for all instances, so that threads which fit different responses
        would make their gradients one after the other. Each evaluation here belongs to one thread.
        """

        def __get__(self, instance: object | None, owner: type | None = None) -> Any:
            if instance is None:
                return self
            value = instance.__dict__[self.attrname] = self.func(instance)
            return value
