"""Priors by name: what each parameter has by default, and what was asked for in its place.

A parameter is called as in the fit's other tables: `Subject.sd.Days`, `Subject.cor.Days.Intercept`, `rho`,
`Residual.sd` (or `sigma`), and a coefficient by its own name. A key may also stand for several: `sd` for all
standard deviations of random effects, `Subject.sd` for those of a term, `cor` and `Subject.cor` for the
correlations, `beta` for all coefficients but the intercept. The most specific one is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from lmmkit.engine.arrays import Floats
from lmmkit.engine.covariance.correlations import Kind
from lmmkit.engine.covariance.patterned import PatternedStructure
from lmmkit.engine.covariance.row_structure import Decaying, RowStructure
from lmmkit.engine.posterior.coordinates import DrawnParts, ResidualPart, SigmaPart, TermPart, term_part
from lmmkit.engine.posterior.log_posterior import NormalPriors
from lmmkit.engine.posterior.priors import (
    LKJ,
    BetaPrior,
    Flat,
    LogNormal,
    Normal,
    Prior,
    StudentT,
    Uniform,
    half,
    read_prior,
)
from lmmkit.errors import FitError, did_you_mean
from lmmkit.model.estimates import Estimates
from lmmkit.model.tables import parameter_names

MAD = 1.4826  # of the median absolute deviation, so that it is a standard deviation of normal numbers


@dataclass(frozen=True)
class NamedPrior:
    """The prior of one parameter.

    Attributes:
        parameter: Its name.
        kind: `sd`, `cor`, `range`, `share`, `exponent` or `beta`.
        prior: The distribution.
        default: Whether it is the package's own.
    """

    parameter: str
    kind: str
    prior: Prior
    default: bool


@dataclass(frozen=True, eq=False)
class ModelPriors:
    """All priors of a model, in the order of its coefficients and then of `parameter_names`.

    Attributes:
        named: One for each coefficient and covariance parameter.
        parts: Those of the covariance parameters with their coordinates.
        effects: Those of the coefficients.
    """

    named: tuple[NamedPrior, ...]
    parts: DrawnParts
    effects: NormalPriors


def default_scale(response: Floats) -> float:
    """The scale of the default priors of standard deviations: brms's max(2.5, mad y to one decimal)."""
    mad = MAD * float(np.median(np.abs(response - np.median(response))))
    return max(2.5, round(mad, 1))


def model_priors(
    estimates: Estimates, asked: Mapping[str, object] | None, bases: tuple[Floats, ...]
) -> ModelPriors:
    """The priors of a fitted model.

    Args:
        estimates: The fit.
        asked: What is to stand in place of the default priors, by name.
        bases: S of each term, see `Prepared.term_bases`.

    Raises:
        FitError: A name that the model has not, or a prior that cannot be read or does not fit its parameter.
    """
    book = _Asked({} if asked is None else asked)
    spread = StudentT(3.0, 0.0, default_scale(estimates.problem.response))
    named, terms, names = list[NamedPrior](), list[TermPart](), iter(parameter_names(estimates))
    for term, basis in zip(estimates.random, bases, strict=True):
        mine = list[Prior]()
        plain = term.structure.natural_names(term.names)
        for at, (natural, own) in enumerate(zip(term.structure.naturals, plain, strict=True)):
            name = next(names)
            default = _term_default(term.structure, at, natural.kind, spread)
            of_term = (f"{term.group}.{natural.kind}", f"{term.factor}.{natural.kind}")
            keys = (name, f"{term.factor}.{own}", *of_term, natural.kind)
            mine.append(_chosen(book, named, name, natural.kind, keys, default))
        _refuse_mixed(term.group, mine)
        terms.append(term_part(term.structure, mine, basis))
    residual = None
    if estimates.problem.residual is not None:
        residual = _residual(estimates, book, named, names)
    name = next(names)
    sigma = _chosen(book, named, name, "sd", (name, "sigma"), half(spread))
    parts = DrawnParts(tuple(terms), residual, SigmaPart((sigma,)))
    effects, of_beta = _effects(estimates, book)
    book.refuse_unknown([*estimates.names, *parameter_names(estimates)])
    return ModelPriors((*of_beta, *named), parts, effects)


class _Asked:
    """The priors asked for, and which of them have met a parameter."""

    def __init__(self, given: object) -> None:
        if not isinstance(given, Mapping):
            raise FitError(
                f"priors={given!r:.60}: names of parameters with their priors are expected, such as "
                '{"Subject.sd": "half_normal(20)"}.'
            )
        items = cast("Mapping[object, object]", given).items()
        self.given = {str(key): value for key, value in items}
        self.met: set[str] = set()

    def find(self, keys: tuple[str, ...]) -> tuple[str, Prior] | None:
        """The prior of the first key that there is."""
        for key in keys:
            if key in self.given:
                self.met.add(key)
                try:
                    return key, read_prior(self.given[key])
                except FitError as error:
                    raise FitError(f"priors: {key}: {error}") from None
        return None

    def refuse_unknown(self, names: list[str]) -> None:
        """Refuse a key that stands for nothing in the model."""
        unknown = [key for key in self.given if key not in self.met]
        if unknown:
            raise FitError(
                f"priors: the model has no parameter `{unknown[0]}` that this would be the prior of"
                f"{did_you_mean(unknown[0], names) or '.'} It has: {', '.join(names)}; `sd`, `cor` and "
                "`beta` stand for all of a kind."
            )


def _chosen(
    book: _Asked, named: list[NamedPrior], name: str, kind: str, keys: tuple[str, ...], default: Prior
) -> Prior:
    """The prior of one covariance parameter, as asked for or by default, which is written down."""
    found = book.find(keys)
    prior = default if found is None else found[1]
    if kind in ("sd", "range", "share"):
        prior = half(prior)
    _refuse_unfit(name, kind, prior, default)
    named.append(NamedPrior(name, kind, prior, found is None))
    return prior


def _refuse_unfit(name: str, kind: str, prior: Prior, default: Prior) -> None:
    """A prior allows what its parameter may be."""
    if isinstance(prior, LKJ) != isinstance(default, LKJ):
        raise FitError(
            f"priors: {name}: {prior.text} is no prior of this parameter; lkj(eta) is that of all "
            f"correlations of a matrix without a pattern, and of those alone. The default is {default.text}."
        )
    low = prior.limits[0]
    if kind in ("sd", "range", "share") and low < 0.0 and not isinstance(prior, Flat):
        raise FitError(f"priors: {name}: {prior.text} reaches below 0, which it cannot be.")
    if kind == "share" and isinstance(prior, Flat):
        raise FitError(f"priors: {name}: a share is between 0 and 1; write beta(1, 1) for a flat prior.")


def _refuse_mixed(group: str, priors: list[Prior]) -> None:
    """The correlations of a term have one prior."""
    found = {prior for prior in priors if isinstance(prior, LKJ)}
    if len(found) > 1:
        raise FitError(f"priors: {group}.cor: the correlations of a matrix have one prior, not {len(found)}.")


def _term_default(structure: object, at: int, kind: Kind, spread: StudentT) -> Prior:
    if kind == "sd":
        return half(spread)
    if not isinstance(structure, PatternedStructure):
        return LKJ(1.0)
    if kind == "range":
        return LogNormal(float(np.log(structure.unit_of_range)), 1.0)
    low, high = structure.limits(at - structure.scales)
    return Uniform(low, high)


def _residual(
    estimates: Estimates, book: _Asked, named: list[NamedPrior], names: Iterator[str]
) -> ResidualPart:
    """The priors of the residual structure's parameters."""
    assert estimates.problem.residual is not None
    structure = estimates.problem.residual.structure
    blank = ResidualPart((Flat(),) * structure.count, structure)
    mine = list[Prior]()
    for at, (kind, plain) in enumerate(structure.naturals):
        name = next(names)
        default = LKJ(1.0) if at in blank.in_matrix else _residual_default(estimates, kind, plain)
        keys = (name, plain) if kind == "sd" else (name, plain, f"Residual.{kind}")  # Residual.sd is sigma
        mine.append(_chosen(book, named, name, kind, keys, default))
    return ResidualPart(tuple(mine), structure)


def _residual_default(estimates: Estimates, kind: Kind, name: str) -> Prior:
    """A ratio of standard deviations is about 1, a range about the usual distance, a share anything."""
    residual = estimates.problem.residual
    assert residual is not None
    if kind == "sd":
        return LogNormal(0.0, 1.0)
    if kind == "cor":
        return Uniform(-1.0, 1.0)
    if kind == "share":
        return BetaPrior(1.0, 1.0)
    structure = residual.structure
    assert isinstance(structure, RowStructure)
    if kind == "range":
        process = structure.correlation
        assert isinstance(process, Decaying)
        return LogNormal(float(np.log(process.unit)), 1.0)
    assert structure.variance is not None
    if structure.variance.kind == "power":
        return Normal(0.0, 1.0)
    spread = float(np.std(estimates.spread_rows))
    return Normal(0.0, float(f"{1.0 / spread:.2g}"))


def _effects(estimates: Estimates, book: _Asked) -> tuple[NormalPriors, list[NamedPrior]]:
    """The priors of the coefficients: flat, or normal, which enter exactly."""
    mean, precision = np.zeros(len(estimates.names)), np.zeros(len(estimates.names))
    named = list[NamedPrior]()
    for at, name in enumerate(estimates.names):
        keys = (name,) if name == "Intercept" else (name, "beta")
        found = book.find(keys)
        prior = Flat() if found is None else found[1]
        if not isinstance(prior, Normal | Flat):
            raise FitError(
                f"priors: {name}: {prior.text}; the coefficients are integrated out exactly, under "
                "normal(mean, sd) or flat."
            )
        if isinstance(prior, Normal):
            mean[at], precision[at] = prior.mean, prior.sd**-2
        named.append(NamedPrior(name, "beta", prior, found is None))
    return NormalPriors(mean, precision), named
