"""Candidate models of the same rows, fitted from shared cross-products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lmmkit.engine.setup import Setup, set_up, subset
from lmmkit.errors import DataError, FitError, LmmkitError
from lmmkit.model.design.design import Design, build_design, without_random_effects
from lmmkit.model.design.rows_used import (
    OFFSET,
    WEIGHTS,
    Given,
    Request,
    open_source,
    picked,
    subset_of,
)
from lmmkit.model.estimates import Estimates, Stored, estimate
from lmmkit.model.formula.formula import Formula
from lmmkit.model.formula.residual_formula import parse_residual
from lmmkit.model.inference.degrees_of_freedom import null_directions
from lmmkit.model.selection.caic4 import caic4
from lmmkit.model.selection.conditional_aic import conditional_aic
from lmmkit.model.selection.random_parts import spelled
from lmmkit.model.selection.term_components import term_components
from lmmkit.model.table.columns import Mask, Table
from lmmkit.model.table.known import known_of
from lmmkit.model.threads import one_thread

MEASURES = ("llf", "deviance", "aic", "bic")
FACTS = ("nobs", "npar", *MEASURES)
CONDITIONAL_CRITERIA = ("caic", "caic4")  # the criterion, and what R's cAIC4 gives for it
OPTIONS = ("weights", "offset", "residual", "known", "contrasts", "missing", "subset")
SEARCHES = ("algorithm", "max_iterations")


@dataclass(frozen=True, eq=False)
class Candidate:
    """One model, fitted or not.

    Attributes:
        label: What stands for it: its random part, or its formula.
        formula: The model.
        estimates: Its fit, without the matrices of its search; None where it could not be fitted.
        measures: nobs, npar, llf, deviance, aic, bic, caic, caic_df, caic4 and caic4_df, NaN where there is
            none.
        directions: Null directions of its covariance matrices, in words.
        evaluations: Calls of the criterion.
        components: Its principal components, see `term_components`; None where it could not be fitted.
        error: Why it could not be fitted, or nothing.
    """

    label: str
    formula: Formula
    estimates: Estimates | None = field(default=None, repr=False)
    measures: Mapping[str, float] = field(default_factory=dict[str, float])
    directions: tuple[str, ...] = ()
    evaluations: int = 0
    components: Any = field(default=None, repr=False)
    error: str = ""

    @property
    def able(self) -> bool:
        """Whether it was fitted and its search converged."""
        return self.estimates is not None and self.estimates.converged

    @property
    def effects(self) -> int:
        """Random effects of a level, of all terms."""
        return sum(len(term.names) for term in self.estimates.random) if self.estimates else 0

    @property
    def singular(self) -> bool:
        """Whether some covariance matrix has a null direction."""
        return self.estimates is not None and self.estimates.is_singular


def shared_rows(
    base: Formula, formulas: Sequence[Formula], data: Any, options: Mapping[str, Any]
) -> tuple[Any, dict[str, Any], list[str]]:
    """Table and options on the rows that all of some models can use, so that each is fitted to the same rows.

    A model that cannot be read is left aside: its own fit says why.

    Args:
        base: The model whose fixed part and response every row has values of in any case.
        formulas: The models.
        data: The table.
        options: Those of `lmm`.

    Returns:
        Table, options, and in a sentence what was left out for a column that not every model has.

    Raises:
        DataError: No row has values of all columns.
    """
    given = Given(data, options.get("weights"), options.get("offset"))
    if options.get("subset") is not None:
        given = subset_of(given, options["subset"])
    missing, residual = options.get("missing", "drop"), parse_residual(options.get("residual"))
    asked = Request(base, given.weights, given.offset, missing=missing, residual=residual)
    lost: dict[str, Mask] = {}
    table: Table | None = None
    for formula in formulas:
        try:
            source = open_source(replace(asked, formula=formula), given.data)
        except LmmkitError:
            if missing == "error":
                raise
            continue
        lost.update(source.lost)
        table = source.table
    always = {*replace(asked, formula=replace(base, random=())).columns(), WEIGHTS, OFFSET}
    gone = {name: int(mask.sum()) for name, mask in lost.items() if name not in always and mask.any()}
    if table is None or not gone:
        return data, dict(options), []
    names = " and ".join(f"`{name}` ({count:,})" for name, count in gone.items())
    rows = np.flatnonzero(~np.logical_or.reduce(list(lost.values())))
    if not len(rows):
        raise DataError(
            f"No row has values of all that the candidates use; missing are those of {names}: leave out a "
            "candidate, or fill its column."
        )
    said = (
        f"Values are missing of {names}: every candidate is fitted to the {len(rows):,} rows that all of "
        "them can use. The chosen model alone may have more rows."
    )
    left = picked(given, rows, table)
    kept = {name: value for name, value in options.items() if name != "subset"}
    vectors = {"weights": left.weights, "offset": left.offset}
    return left.data, kept | {name: v for name, v in vectors.items() if v is not None}, [said]


class Candidates:
    """Fits of models with one response, kept by formula; the first one's cross-products serve the others.

    Attributes:
        fitted: The candidates so far, by formula, in the order in which they were asked for.
    """

    def __init__(
        self, base: Formula, data: Any, *, reml: bool, options: Mapping[str, Any], conditional: bool
    ) -> None:
        """`options` are those of `lmm`; `conditional`: whether the conditional AIC is wanted.

        Raises:
            FitError: An option that is not offered here.
        """
        strange = [name for name in options if name not in (*OPTIONS, *SEARCHES)]
        if strange:
            raise FitError(
                f"{strange[0]!r} is no argument of select(). Beside its own it takes those of lmm() that "
                f"hold for every candidate: {', '.join((*OPTIONS, *SEARCHES))}."
            )
        self.base, self.data, self.reml, self.conditional = base, data, reml, conditional
        self.options = {name: options[name] for name in OPTIONS if name in options}
        self.search = {name: options[name] for name in SEARCHES if name in options}
        self.fitted: dict[str, Candidate] = {}
        self.whole: Setup | None = None
        self.designs: dict[str, Design] = {}

    def of(self, formula: Formula, label: str | None = None) -> Candidate:
        """The candidate of a formula, fitted once."""
        key = str(formula)
        if key not in self.fitted:
            self.fitted[key] = self._made(formula, label or spelled(formula.random))
        return self.fitted[key]

    def _made(self, formula: Formula, label: str) -> Candidate:
        try:
            design = self._design(formula)
            found = self._estimated(design)
            criteria = {"caic": conditional_aic(found), "caic4": caic4(found)} if self.conditional else {}
        except LmmkitError as error:
            return Candidate(label, formula, error=str(error))
        measures: dict[str, float] = {name: getattr(found, name) for name in FACTS}
        for name in CONDITIONAL_CRITERIA:
            own = criteria.get(name)
            measures |= {name: own.value if own else np.nan, f"{name}_df": own.df if own else np.nan}
        directions = tuple(null_directions(found))
        components = term_components(found)
        lean = replace(found, evidence=Stored((), (), (), ()))
        return Candidate(label, formula, lean, measures, directions, found.evaluations, components)

    def _design(self, formula: Formula) -> Design:
        """The design on the rows that the formula uses."""
        if not formula.random and parse_residual(self.options.get("residual")) is None:
            like = next((c.estimates.design for c in self.fitted.values() if c.estimates), None)
            if like is not None:
                return without_random_effects(str(formula), like)
        given = dict(self.options)
        named = {name for expression in formula.expressions() for name in expression.variables}
        named |= {name for bar in formula.random for name in bar.group.names}
        if given.get("known") is not None:
            given["known"] = known_of(given["known"], formula)
        if given.get("contrasts"):
            whole = {name for e in self.base.expressions() for name in e.variables}
            gone = whole - named
            given["contrasts"] = {k: v for k, v in given["contrasts"].items() if k not in gone}
        return build_design(formula, self.data, **given)

    def _estimated(self, design: Design) -> Estimates:
        """The fit, from the cross-products of a larger model where they hold its own."""
        setup: Setup | None = None
        with one_thread():
            if self.whole is not None:
                setup = subset(self.whole, design.problem)
            elif design.problem.residual is None and design.random:
                setup = self.whole = set_up(design.problem, reml=self.reml)
        algorithm, limit = self.search.get("algorithm", "newton"), self.search.get("max_iterations")
        return estimate(design, reml=self.reml, algorithm=algorithm, limit=limit, setup=setup)
