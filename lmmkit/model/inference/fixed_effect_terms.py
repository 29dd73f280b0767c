"""Fixed and random effects as SAS reads them: the variables that an effect multiplies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from lmmkit.model.design.design import Design
from lmmkit.model.design.learned import Recipe
from lmmkit.model.design.variables import Scoped, Variable
from lmmkit.model.formula.expression import Expression
from lmmkit.model.formula.formula import Term


@dataclass(frozen=True)
class Effect:
    """An effect by its variables.

    Attributes:
        factors: Columns of the table that enter as factors, grouping factors included.
        numbers: Texts of the numeric variables.
    """

    factors: frozenset[str]
    numbers: frozenset[str]

    def contains(self, other: Effect) -> bool:
        """Whether `other` is contained in it: the same numbers, and all its factors among more factors.

        Reference: SAS/STAT, The Four Types of Estimable Functions, "Type II SS and Estimable Functions".
        """
        return self.numbers == other.numbers and self.factors > other.factors


def fixed_effect(term: Term, variables: Mapping[Expression, Variable]) -> Effect:
    """The effect of a term of the fixed part."""
    factors = [e for e in term if variables[e].kind == "factor"]
    numbers = frozenset(e.text for e in term if variables[e].kind != "factor")
    return Effect(frozenset(name for e in factors for name in e.variables), numbers)


def fixed_effects(recipe: Recipe) -> list[Effect]:
    """The effects of the fixed terms, in their order."""
    return [fixed_effect(term, recipe.variables) for term in recipe.formula.fixed]


@dataclass(frozen=True)
class RandomEffect:
    """A random effect and its columns, each as (random-effects term, column of the term)."""

    effect: Effect
    columns: tuple[tuple[int, int], ...]


def random_effects(design: Design) -> list[RandomEffect]:
    """The random effects in the order written: `(x | g)` holds the effects g and x*g."""
    recipe, found = design.recipe, list[RandomEffect]()
    places = dict(_places(design))
    for bar, products in zip(recipe.formula.random, recipe.random, strict=True):
        for term, scoped in zip(bar.terms, products, strict=True):
            plain = fixed_effect(term, recipe.variables)
            effect = Effect(plain.factors | frozenset(bar.group.names), plain.numbers)
            names = [name for one in scoped for name in _names(one, recipe.variables)]
            columns = tuple(places[bar.group.label, name] for name in names)
            found.append(RandomEffect(effect, columns))
    return [effect for effect in found if effect.columns]


def _places(design: Design) -> Iterator[tuple[tuple[str, str], tuple[int, int]]]:
    """Each column of each random-effects term by its grouping factor and name."""
    for t, term in enumerate(design.random):
        for c, name in enumerate(term.names):
            yield (term.factor, name), (t, c)


def _names(scoped: Scoped, variables: Mapping[Expression, Variable]) -> list[str]:
    """Names of the columns of one product, its first factor varying fastest."""
    if not scoped:
        return ["Intercept"]
    parts = [variables[factor].names(reduced=reduced) for factor, reduced in scoped]
    return [":".join(chosen[::-1]) for chosen in product(*parts[::-1])]
