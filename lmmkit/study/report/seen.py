"""What a reader sees for a column, a level, a coefficient, and the unit in which an effect stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import pandas as pd

from lmmkit.model.design.design import Design
from lmmkit.model.design.variables import Variable
from lmmkit.model.means.focus import reference_level
from lmmkit.study.pages.marks import MarkedText, Name, Part, fill, join
from lmmkit.study.pages.seen_names import AT, NO_LABELS, Labels

Units = Mapping[str, str]
_PLURAL = re.compile(r"(?<=ch|sh|[a-z]x)es$|(?<=[a-z][a-z][a-hj-rtv-z])(?<!siemen)s$")
TIMES = " \N{MULTIPLICATION SIGN} "


def units_of(columns: Mapping[str, Mapping[str, Any]]) -> Units:
    """The units in the columns of a study, as plain data."""
    return {name: str(spec["unit"]) for name, spec in columns.items() if spec.get("unit")}


def as_unit(unit: str) -> Part:
    """A unit in a sentence: a word, which is no name of a column; marked as a name where it has a digit."""
    return Name(unit) if any(map(str.isdigit, unit)) else unit


def one_of(unit: str) -> str:
    """A unit as it stands below `per`: a word in the plural has lost its `s`, `points` but not `ms`.

    >>> [one_of(unit) for unit in ("points", "inches", "days", "ms", "mass", "1000 words")]
    ['point', 'inch', 'day', 'ms', 'mass', '1000 words']
    """
    return unit if any(map(str.isdigit, unit)) else _PLURAL.sub("", unit)


def with_unit(unit: str) -> MarkedText:
    """A unit behind a number, or nothing."""
    return fill(" {}", as_unit(unit)) if unit else MarkedText()


@dataclass(frozen=True)
class Seen:
    """Names and units of a model as readers see them.

    Attributes:
        design: The model's.
        units: Units by column.
        labels: Labels of columns and levels.
    """

    design: Design
    units: Units
    labels: Labels = NO_LABELS

    def column(self, name: str) -> Name:
        """A column, term or expression."""
        return Name(self.labels.of(name))

    def level(self, column: str, level: str) -> Name:
        """A level of a column."""
        return Name(self.labels.level(column, level))

    def term(self, name: str) -> str:
        """A fixed term, its columns joined by a sign of multiplication; another name as it is."""
        told = [self.labels.of(each.expression.text) for each in self.design.composition.get(name, ())]
        return TIMES.join(told) or name

    @property
    def response(self) -> Name:
        """The response as the model has it: `log(y)` where that is what is modelled."""
        return self.column(self.design.response)

    @property
    def unit(self) -> str:
        """The unit of the response; none where it is transformed."""
        return (
            ""
            if self.design.recipe.formula.response.tree is not None
            else self.units.get(self.design.response, "")
        )

    def of_response(self) -> MarkedText:
        """The unit of the response behind a number, or nothing."""
        return with_unit(self.unit)

    def per(self, *columns: str) -> MarkedText:
        """What stands behind a slope along columns: ` ms per d`, ` per unit of x`."""
        if not columns:
            return self.of_response()
        return fill("{} {}", self.of_response(), self.per_one(*columns))

    def per_one(self, *columns: str) -> MarkedText:
        """`per d`, or `per unit of x`."""
        below = [
            as_unit(one_of(self.units[c])) if c in self.units else fill("unit of {}", self.column(c))
            for c in columns
        ]
        return fill("per {}", join(" and ", below))

    def of_effect(self, name: str) -> MarkedText:
        """The unit behind a coefficient or a random effect by its name: that of its numbers stands below."""
        numbers = [each.expression.text for _, each in self._parts(name) if each.kind != "factor"]
        return self.per(*numbers)

    def units_of(self, names: Iterable[Any]) -> list[MarkedText]:
        """The unit behind each effect; what is no effect has that of the response."""
        return [self._unit_behind(str(name)) for name in names]

    def _unit_behind(self, name: str) -> MarkedText:
        effect = name == "Intercept" or bool(self._parts(name))
        weighted = not effect and self.design.problem.weights is not None
        return fill("{}{}", self.of_effect(name), " of a row of unit weight" if weighted else "")

    def units_told(self, names: Iterable[Any]) -> list[str]:
        """The units of effects as axes have them."""
        return [str(unit).strip() for unit in self.units_of(names)]

    def units_of_parameters(self, names: Iterable[Any]) -> list[str]:
        """The units of coefficients and standard deviations as `Fit.conf_int` names them; none of others."""
        return [self._unit_of_parameter(str(name)) for name in names]

    def _unit_of_parameter(self, name: str) -> str:
        inside, sd, effect = name.rpartition(".sd")
        if name in self.design.fixed_names:
            effect = name
        elif not sd or effect[:1] not in ("", "."):
            return ""
        return self.units_told(
            [effect.removeprefix(".") or (inside if inside == "Residual" else "Intercept")]
        )[0]

    def kind_of_effect(self, name: str) -> tuple[str, ...]:
        """What effects must share to be of like units: the texts of their numbers with units."""
        return tuple(sorted(each.expression.text for _, each in self._parts(name) if each.kind != "factor"))

    def effect(self, name: str) -> str:
        """A coefficient as a person says it: `Treatment: High against Control`.

        Of an interaction `weeks × programme (tutors against as before)`. Numbers of an interaction stand
        as they are, factors with what their coding compares; at each level of a factor that compares none
        it holds there: `Treatment: High against Control, at visit w8`.
        """
        parts = self._parts(name)
        if not parts:
            return self.labels.of(name)
        held = [
            variable.kind == "factor" and text in variable.names(reduced=False) for text, variable in parts
        ]
        if all(held):
            held[0] = False  # a mean of cells, if of nothing else
        told, places = list[tuple[str, str]](), list[str]()
        for (text, variable), there in zip(parts, held, strict=True):
            column, what = self._part(text, variable)
            places += [f"{AT}{column} {what}"] if there else []
            told += [] if there else [(column, what)]
        form = "{}: {}" if len(told) == 1 else "{} ({})"
        named = (form.format(column, what) if what else column for column, what in told)
        return TIMES.join(named) + "".join(places)

    def quantity(self, name: str) -> Name:
        """One number: what a focus asks for, such as `slope of age`, a coefficient, a variance parameter."""
        parameters = _parameters(self)
        if name in parameters:
            return Name(parameters[name])
        return Name(self.effect(name) if self._parts(name) else self.labels.of(name))

    def _part(self, text: str, variable: Variable) -> tuple[str, str]:
        column = self.labels.of(variable.expression.text)
        if variable.kind == "number":
            return column, ""
        inside = text.removeprefix(variable.expression.text)[1:-1]
        if variable.kind == "basis":
            return column, f"column {inside}"
        mine = variable.expression.variables[0] if len(variable.expression.variables) == 1 else ""
        if text in variable.names(reduced=False):
            return column, self.labels.level(mine, inside)
        place = variable.names(reduced=True).index(text)
        base, sign = reference_level(variable), inside[:2]
        coded = inside[2:]
        if base is not None:
            return column, f"{self.labels.level(mine, coded)} against {self.labels.level(mine, base)}"
        if sign == "S.":
            return column, f"{self.labels.level(mine, coded)} against the mean of the levels"
        if sign == "D.":
            before = variable.levels[place]
            return column, f"{self.labels.level(mine, coded)} against {self.labels.level(mine, before)}"
        if sign == "H.":
            return column, f"{self.labels.level(mine, coded)} against the levels before it"
        trends = {".L": "linear trend", ".Q": "quadratic trend", ".C": "cubic trend"}
        return column, trends.get(inside, inside)

    @cached_property
    def _known(self) -> dict[str, Variable]:
        variables = self.design.recipe.variables.values()
        return {
            text: each for each in variables for full in (False, True) for text in each.names(reduced=full)
        }

    def _parts(self, name: str) -> list[tuple[str, Variable]]:
        """A product's columns with their variables; none where the name is no product of them."""
        if name in self._known:
            return [(name, self._known[name])]
        for first in self._known:
            if name.startswith(f"{first}:") and (rest := self._parts(name.removeprefix(f"{first}:"))):
                return [(first, self._known[first]), *rest]
        return []


def of_study(design: Design, schema: Mapping[str, Any], labels: Labels = NO_LABELS) -> Seen:
    """The names of a design with the units in the schema of a run's data.

    Args:
        design: The design.
        schema: What `data.schema.json` holds.
        labels: Labels of columns and levels.
    """
    return Seen(design, units_of({facts["column"]: facts for facts in schema["columns"]}), labels)


def names_table(seen: Seen) -> pd.DataFrame:
    """How the coefficients and terms of a model are called on the page, for a table of the run."""
    design = seen.design
    coefficients = {name: seen.effect(name) for name in design.fixed_names}
    random = {name: seen.effect(name) for term in design.random for name in term.names}
    terms = {term.name: seen.term(term.name) for term in design.fixed_terms if term.name != "Intercept"}
    called = _parameters(seen) | terms | random | coefficients
    return pd.DataFrame({"name": list(called), "seen": list(called.values())})


def _parameters(seen: Seen) -> dict[str, str]:
    """What standard deviations and correlations of random effects are called, as intervals name them."""
    called = {"Residual.sd": "Residual: SD"}
    for term in seen.design.random:
        group, effects = seen.labels.of(term.group), {name: seen.effect(name) for name in term.names}
        words = {"sd": "SD"} | {f"sd.{a}": f"{told}, SD" for a, told in effects.items()}
        pairs = product(effects, repeat=2)
        words |= {f"cor.{a}.{b}": f"{effects[a]} with {effects[b]}, correlation" for a, b in pairs}
        own = term.structure.natural_names(term.names)
        called |= {f"{term.group}.{name}": f"{group}: {words[name]}" for name in own if name in words}
    return called
