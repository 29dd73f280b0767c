"""What the schema knows and this version does not do yet: one table, refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pydantic import BaseModel


class Gate(NamedTuple):
    """A setting with the values that are built; `under` is the setting in whose presence alone it matters."""

    key: str
    built: tuple[object, ...]
    under: tuple[str, object] | None = None


GATES = (
    Gate("model.residual", ("iid",)),
    Gate("model.known", ({},)),
    Gate("random_effects.rule", ("fixed", "best")),
    Gate("random_effects.criterion", ("aic", "bic"), under=("random_effects.rule", "best")),
    Gate("report.pdf", (False,)),
)


def closed_gates(settings: BaseModel) -> Iterator[tuple[tuple[str, ...], str]]:
    """Key and message of every setting that asks for what is not built yet."""
    for gate in GATES:
        value = setting(settings, gate.key)
        if value not in gate.built and _matters(gate, settings):
            built = ", ".join(_shown(option) for option in gate.built)
            yield tuple(gate.key.split(".")), f"{_shown(value)} is not built yet; built: {built}"


def setting(settings: BaseModel, key: str) -> object:
    """The value under a dotted key of fields."""
    value: object = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _matters(gate: Gate, settings: BaseModel) -> bool:
    return gate.under is None or setting(settings, gate.under[0]) == gate.under[1]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value == {} else str(value)
