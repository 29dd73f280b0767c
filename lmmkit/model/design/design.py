"""From a formula and a table to the arrays of an estimation problem, with the names of everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmmkit.engine.covariance import structure_tags
from lmmkit.engine.covariance.patterned import Exponential
from lmmkit.engine.covariance.structure_tags import Positions, structure_of
from lmmkit.engine.covariance.structures import Structure
from lmmkit.engine.problem import Problem
from lmmkit.engine.problem import Term as ProblemTerm
from lmmkit.errors import Findings, FormulaError, concerning
from lmmkit.escape import html, terminal
from lmmkit.model.design.held_variances import HeldVariances, read_variances
from lmmkit.model.design.identifiability import (
    Draft,
    between_only,
    check_groupings,
    check_response,
    check_same,
    check_sizes,
    check_terms,
    check_weights,
    said,
)
from lmmkit.model.design.learned import (
    NewData,
    Predictor,
    Recipe,
    columns_of,
    learn_recipe,
    members_of,
    offset_columns,
    predictors,
    recipe_from_dict,
)
from lmmkit.model.design.positions import coordinates, distinct, indicators, known_positions
from lmmkit.model.design.residual_design import ResidualDesign, VisitDesign, row_design, visit_design
from lmmkit.model.design.rows_used import (
    OFFSET,
    WEIGHTS,
    Given,
    Request,
    Source,
    ledger,
    offset_of,
    open_source,
    subset_of,
)
from lmmkit.model.design.variables import Column, Values, Variable
from lmmkit.model.formula.expression import Expression
from lmmkit.model.formula.formula import Bar, Formula, parse_formula, term_name
from lmmkit.model.formula.groups import Group
from lmmkit.model.formula.residual_formula import (
    ResidualFormula,
    check_beside,
    parse_residual,
    refuse_absorbed,
)
from lmmkit.model.table.columns import Floats, open_table
from lmmkit.model.table.evaluate import Evaluator
from lmmkit.model.table.grouping import (
    Grouping,
    Member,
    Relation,
    grouping,
    labels_of,
    relations,
    reused_labels,
    same_grouping,
)
from lmmkit.model.table.known import read_known
from lmmkit.model.text_table import TextTable

Missing = Literal["drop", "error", "exclude"]


class FixedTerm(NamedTuple):
    """A term of the fixed part and the positions of its columns in X."""

    name: str
    columns: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class RandomTerm:
    """One random-effects term.

    Attributes:
        group: Its label in theta and varcorr: the grouping factor, `.1` after a repeated one.
        factor: The grouping factor.
        names: Names of its columns.
        structure: What the covariance matrix of its effects may be.
        grouping: Codes and levels.
    """

    group: str
    factor: str
    names: tuple[str, ...]
    structure: Structure
    grouping: Grouping = field(repr=False)

    @property
    def levels(self) -> pd.Index[str]:
        """Names of the levels, in the order of the codes."""
        return self.grouping.levels


def _fixed_terms(formula: Formula, blocks: list[list[Column]]) -> tuple[FixedTerm, ...]:
    ends = list(accumulate((len(block) for block in blocks), initial=0))
    spans = zip(formula.fixed, ends, ends[1:], strict=False)
    return tuple(FixedTerm(term_name(term), tuple(range(start, end))) for term, start, end in spans)


class _Store:
    """The distinct columns of X and Z, by name."""

    def __init__(self) -> None:
        self.positions: dict[str, int] = {}
        self.columns: list[Floats] = []

    def add(self, columns: Iterable[Column]) -> tuple[int, ...]:
        """Positions of `columns`, which are kept unless they are there already."""
        places = list[int]()
        for name, values in columns:
            places.append(self.positions.setdefault(name, len(self.columns)))
            if places[-1] == len(self.columns):
                self.columns.append(values)
            elif not _alike(self.columns[places[-1]], values):
                raise FormulaError(
                    f"Two different columns of the design would be called `{name}`: rename the data's column."
                )
        return tuple(places)


def _alike(first: Floats, second: Floats) -> bool:
    """Whether two columns of one name are one column, judged by some of their rows."""
    step = max(len(first) // 1_000, 1)
    return first is second or bool((first[::step] == second[::step]).all())


def _groupings(request: Request, source: Source) -> dict[str, Grouping]:
    """The distinct grouping factors on the rows used, by label.

    Raises:
        DataError: Members or known covariances that do not fit the rows; all of them are said.
    """
    distinct, made, found = dict[str, Group](), dict[str, Grouping](), Findings()
    for bar in request.formula.random:
        with found.part("formula"):
            _check_distinct(distinct.setdefault(bar.group.label, bar.group), bar.group)
    for label, group in distinct.items():
        known = request.known.get(label)
        with found.part(*(("known", label) if known else ("formula",))):
            made[label] = grouping(group, source.evaluator, source.rows, known)
    found.raise_found()
    return made


def _check_distinct(first: Group, second: Group) -> None:
    if first != second:
        raise FormulaError(
            f"`{first}` and `{second}` have the same members with different weights; one factor is expected: "
            "weigh them alike, or give one of them columns of other names."
        )


def _series(formula: Formula) -> set[str]:
    """Grouping factors of which one level has many effects with one variance: a series, or a map."""
    several = {bar.group.label for bar in formula.random if not structure_tags.has_one_variance(bar.tag)}
    return {bar.group.label for bar in formula.random} - several


def _drafts(
    recipe: Recipe,
    values: Mapping[Expression, Values],
    source: Source,
    groupings: Mapping[str, Grouping],
    store: _Store,
) -> list[Draft]:
    drafts: list[Draft] = []
    for bar, products in zip(recipe.formula.random, recipe.random, strict=True):
        columns = [column for scoped in products for column in columns_of(scoped, values, source.count)]
        positions: Positions = ()
        if bar.positions:
            positions, codes = distinct(bar, coordinates(bar, values))
            columns = indicators(positions, codes)
        places, names = store.add(columns), tuple(name for name, _ in columns)
        if len(names) == 1 and not structure_tags.is_plain(bar.tag):
            raise FormulaError(
                f"`{bar.text}` has one column, `{names[0]}`: {bar.tag}() is a pattern of several effects. "
                f"Write `({'1' if names[0] == 'Intercept' else f'0 + {names[0]}'} | {bar.group})`."
            )
        arrays = tuple(store.columns[place] for place in places)
        structure = structure_of(bar.tag, len(names), positions)
        draft = Draft(bar.text, groupings[bar.group.label], names, arrays, places, structure)
        drafts += draft.each() if bar.split else [draft]
    return drafts


def _ordered(drafts: list[Draft]) -> tuple[tuple[ProblemTerm, ...], tuple[RandomTerm, ...]]:
    """The terms by decreasing number of levels, with their labels."""
    ordered = sorted(drafts, key=lambda draft: -draft.grouping.size)  # ties as written, as lme4's
    numbers = {name: i for i, name in enumerate(dict.fromkeys(draft.grouping.name for draft in ordered))}
    labels = labels_of([draft.grouping.name for draft in ordered])
    terms = tuple(
        ProblemTerm(
            numbers[d.grouping.name],
            d.grouping.codes,
            d.grouping.size,
            d.places,
            d.structure,
            d.grouping.members,
            d.grouping.known.relationship if d.grouping.known else None,
        )
        for d in ordered
    )
    named = zip(labels, ordered, strict=True)
    random = tuple(RandomTerm(label, d.grouping.name, d.names, d.structure, d.grouping) for label, d in named)
    return terms, random


@dataclass(frozen=True, eq=False)
class Design:
    """Everything a formula asks of a table.

    Attributes:
        formula: The formula in canonical spelling.
        response: Name of the response.
        problem: The arrays, for the engine.
        fixed_names: Names of the columns of X.
        fixed_terms: Terms of the fixed part with the positions of their columns.
        random: Random-effects terms, parallel to `problem.terms`: by decreasing number of levels.
        warnings: What the user should look at, in sentences.
        undetermined: Those of them about terms whose variances other values explain as well.
        residual: The residual structure with its names; None for independent residuals.
        recipe: What the formula learned from the table.
        request: What was asked.
        source: The table and the rows used.
    """

    formula: str
    response: str
    problem: Problem
    fixed_names: tuple[str, ...]
    fixed_terms: tuple[FixedTerm, ...]
    random: tuple[RandomTerm, ...]
    warnings: tuple[str, ...]
    undetermined: tuple[str, ...]
    residual: ResidualDesign | None
    recipe: Recipe = field(repr=False)
    request: Request = field(repr=False)
    source: Source = field(repr=False)

    @cached_property
    def rows(self) -> NDArray[np.intp]:
        """(n,) positions of the rows used, in the table as given."""
        return np.arange(self.source.table.rows) if self.source.rows is None else self.source.rows

    @property
    def within(self) -> str:
        """The subset that all rows are of, as the end of a sentence about them."""
        return f" with `{self.request.subset}`" if self.request.subset else ""

    @cached_property
    def dropped(self) -> pd.DataFrame:
        """One line per row left out: its position, the reason, the columns that are missing."""
        return ledger(self.source.lost)

    @property
    def composition(self) -> dict[str, tuple[Variable, ...]]:
        """For each fixed term the variables it multiplies, with their levels and codings."""
        return {
            term_name(term): tuple(self.recipe.variables[factor] for factor in term)
            for term in self.recipe.formula.fixed
        }

    @cached_property
    def predictors(self) -> dict[str, Predictor]:
        """The columns of the fixed terms with levels or means: what a grid of values must hold."""
        return predictors(self.recipe, self.source)

    @cached_property
    def groupings(self) -> tuple[Grouping, ...]:
        """The distinct grouping factors, by decreasing number of levels."""
        return tuple({term.factor: term.grouping for term in self.random}.values())

    @cached_property
    def held(self) -> HeldVariances | None:
        """The variances that are held; None where they are estimated."""
        if self.request.variances is None:
            return None
        labels = [term.group for term in self.random]
        return read_variances(self.request.variances, labels, [term.names for term in self.random])

    @property
    def has_relatives(self) -> bool:
        """Whether the levels of a grouping factor are related by a known covariance."""
        return any(grouping.known is not None for grouping in self.groupings)

    @property
    def ngroups(self) -> dict[str, int]:
        """Number of levels by grouping factor."""
        return {grouping.name: grouping.size for grouping in self.groupings}

    @cached_property
    def relations(self) -> tuple[Relation, ...]:
        """How each pair of grouping factors relates: nested or crossed."""
        return relations(self.groupings)

    @cached_property
    def whole_rows(self) -> tuple[pd.Index[Any], NDArray[np.intp]]:
        """Labels of the rows that are told about one by one, and where those used stand among them.

        Under missing="exclude" these are all rows of the table, else those used.
        """
        index = self.source.table.frame.index
        if self.request.missing == "exclude":
            return index, self.rows
        return (index if self.source.rows is None else index[self.rows]), np.arange(self.source.count)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The columns used on the rows used; weights and offset vectors as `(weights)`, `(offset)`."""
        names = list(dict.fromkeys(self.request.columns()))
        whole = self.source.table.frame[names].assign(**self.source.vectors)
        return whole if self.source.rows is None else whole.iloc[self.source.rows]

    def fixed_matrix(self, frame: Any) -> Floats:
        """(m, p) X on the rows of another table, such as a grid of values.

        Args:
            frame: A table with the columns that the fixed terms use.

        Raises:
            DataError: A column is absent, has missing values, or a level that the fit has not seen.
        """
        return self.recipe.X(self.recipe.opened(frame, self.recipe.fixed_columns()))

    def new_data(self, frame: Any, *, groups: Sequence[str] | None = None) -> NewData:
        """X, offset, and the random terms' columns and codes on the rows of another table.

        Args:
            frame: A table with every column that the formula uses but the response.
            groups: Grouping factors whose levels the rows have, by default all; of the others they have new
                ones, and need no grouping columns.

        Raises:
            DataError: As `fixed_matrix`, or the offset was given as a vector.
        """
        recipe = self.recipe
        chosen = [g for g in self.groupings if groups is None or g.name in groups]
        by_label = {bar.group.label: bar.group for bar in recipe.formula.random}
        wanted = [name for expression in recipe.variables for name in expression.variables]
        wanted += [name for g in chosen if not g.members for name in by_label[g.name].names]
        spare = [name for g in chosen if g.members for name in by_label[g.name].columns()]
        evaluator = recipe.opened(frame, [*wanted, *offset_columns(self.request)], spare)
        values, rows = recipe.values(evaluator), evaluator.table.rows
        columns = dict(
            column
            for bar in recipe.random
            for products in bar
            for column in columns_of(products, values, rows)
        )
        for bar in recipe.formula.random:
            if bar.positions:
                of = self._over_positions(bar)
                columns |= indicators(of.positions, known_positions(bar, of, coordinates(bar, values)))
        Z = tuple(np.column_stack([columns[name] for name in term.names]) for term in self.random)
        unseen: tuple[Member, ...] = ((np.full(rows, -1, np.intp), np.ones(rows)),)
        held = dict.fromkeys(self.ngroups, unseen)
        held |= {g.name: members_of(g, by_label[g.name], evaluator) for g in chosen}
        known = offset_of(self.request, evaluator, {})
        return NewData(recipe.X(evaluator), known, Z, tuple(held[term.factor] for term in self.random))

    def _over_positions(self, bar: Bar) -> Exponential:
        """The structure of a bar's term."""
        wanted = len(bar.positions)
        return next(
            term.structure
            for term in self.random
            if term.factor == bar.group.label
            and isinstance(term.structure, Exponential)
            and term.structure.tag == bar.tag
            and len(term.structure.positions[0]) == wanted
        )

    def fixed_data(self, frame: Any) -> NewData:
        """X and offset on the rows of another table, which needs no grouping factors.

        Args:
            frame: A table with the columns that the fixed terms and the offset use.

        Raises:
            DataError: As `new_data`.
        """
        wanted = [*self.recipe.fixed_columns(), *offset_columns(self.request)]
        evaluator = self.recipe.opened(frame, wanted)
        return NewData(self.recipe.X(evaluator), offset_of(self.request, evaluator, {}), (), ())

    def to_dict(self) -> dict[str, Any]:
        """What `design_from_dict` needs beside `frame`, as plain lists, numbers and text."""
        asked, vectors = self.request, self.source.vectors
        return self.recipe.to_dict() | {
            "weights": WEIGHTS if WEIGHTS in vectors else asked.weights,
            "offset": OFFSET if OFFSET in vectors else asked.offset,
            "missing": asked.missing,
            "subset": asked.subset,
            "residual": None if asked.residual is None else str(asked.residual),
            "known": list(asked.known),
            "variances": asked.variances and dict(asked.variances),
        }

    def describe(self) -> str:
        """Terms, sizes, relations and block structure, as text."""
        tables = [table.text() for table in _tables(self)]
        return "\n\n".join([terminal(self.formula), _rows_sentence(self), *tables, *_sentences(self)])

    def __str__(self) -> str:
        return self.describe()

    def _repr_html_(self) -> str:
        sentences = [f"<p>{html(sentence)}</p>" for sentence in [_rows_sentence(self), *_sentences(self)]]
        tables = [table.html() for table in _tables(self)]
        return "".join([f"<p><code>{html(self.formula)}</code></p>", sentences[0], *tables, *sentences[1:]])


def build_design(
    formula: str | Formula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    missing: Missing = "drop",
    subset: str | None = None,
    residual: str | None = None,
    known: Mapping[str, Any] | None = None,
    variances: Mapping[str, Any] | None = None,
) -> Design:
    """Columns, codes and names that a formula asks of a table.

    Args:
        formula: In lme4's language.
        data: A pandas or polars DataFrame, or an Arrow table.
        weights: Positive prior weights: a column name or a vector.
        offset: A known part of the mean, beside `offset(...)` in the formula: a column name or a vector.
        contrasts: Coding by factor: treatment (the default), sum, helmert, poly, diff, sas, or a matrix.
        missing: What happens to rows with a missing value: "drop" (they are listed), "exclude" (the same, and
            what the fit says row by row has NaN there) or "error".
        subset: A condition that the rows meet which are the table; all others might not be there.
        residual: The residual structure, such as `un(visit | id)`; independent residuals when left out.
        known: Known covariances of a factor's levels: a square DataFrame, or a pedigree, by grouping factor.
        variances: Variances that are held, by group and "Residual"; estimated when left out.

    Raises:
        FormulaError: The formula cannot be read, or asks for what is not offered or not identified.
        DataError: The table cannot be used as the formula asks.

    >>> frame = pd.DataFrame({"y": [1.0, 2, 4, 3, 5, 9], "x": [0, 1, 2] * 2, "g": list("aaabbb")})
    >>> build_design("y ~ x + (1 | g)", frame).fixed_names
    ('Intercept', 'x')
    """
    parsed = formula if isinstance(formula, Formula) else parse_formula(formula)
    with concerning("residual"):
        structure = parse_residual(residual)
        check_beside(parsed, structure)
    _check_response(parsed)
    asked = Request(parsed, weights, offset, contrasts or {}, missing, subset, None, structure, {}, variances)
    request, source, groupings = open_request(asked, data, known)
    found = Findings()
    with found.part():
        _check_rows(request, source, groupings)
    if found.errors:
        with found.part():
            learn_recipe(parsed, source, request.contrasts)  # its faults are said with the others
        raise found.joined()
    return _design(request, source, *learn_recipe(parsed, source, request.contrasts), groupings)


class Opened(NamedTuple):
    """What a formula asks of a table, read and not yet judged.

    Attributes:
        request: What was asked.
        source: The table and the rows used.
        groupings: The distinct grouping factors on these rows, by label.
    """

    request: Request
    source: Source
    groupings: dict[str, Grouping]


def open_request(asked: Request, data: Any, known: Mapping[str, Any] | None) -> Opened:
    """Read the table, its rows and its groups, whatever a model of them may be worth.

    Args:
        asked: What is asked, without the table and the known covariances.
        data: The table.
        known: Known covariances of a factor's levels, by grouping factor.

    Raises:
        FormulaError, DataError: A column, a condition or a known covariance that cannot be used.
    """
    given = Given(
        data.copy(deep=False) if isinstance(data, pd.DataFrame) else data, asked.weights, asked.offset
    )
    data, weights, offset = given if asked.subset is None else subset_of(given, asked.subset)
    related = read_known(known, _groups_of(asked.formula))
    request = replace(asked, weights=weights, offset=offset, given=given, known=related)
    source = open_source(request, data)
    return Opened(request, source, _groupings(request, source))


def _groups_of(formula: Formula) -> list[str]:
    """Labels of the grouping factors that may have a known covariance."""
    return [bar.group.label for bar in formula.random if len(bar.group.names) == 1 or bar.group.members]


def without_random_effects(formula: str, like: Design) -> Design:
    """The design of a model without random effects on the rows, weights and offset of another one.

    Raises:
        FormulaError: The formula cannot be read, or has random effects.
        DataError: A column is absent from the other design's table, or misses a value on its rows.
    """
    parsed = parse_formula(formula)
    if parsed.random:
        raise FormulaError(f"`{parsed}` has random effects: fit it with lmm() first, and give the fit.")
    _check_response(parsed)
    given, vectors = like.request, like.source.vectors
    weights, offset = (
        like.source.used(vectors[label]) if label in vectors else asked
        for label, asked in ((WEIGHTS, given.weights), (OFFSET, given.offset))
    )
    own = {name for expression in parsed.expressions() for name in expression.variables}
    contrasts = {name: coding for name, coding in given.contrasts.items() if name in own}
    frame = like.source.table.frame.iloc[like.rows]
    return plain_design(parsed, frame, weights=weights, offset=offset, contrasts=contrasts)


def plain_design(
    formula: Formula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
) -> Design:
    """The design of a model without random effects and residual structure; no value may be missing.

    Raises:
        FormulaError, DataError: As `build_design`.
    """
    request = Request(formula, weights, offset, contrasts or {}, "error")
    source = open_source(request, data)
    _check_rows(request, source, {})
    recipe, values = learn_recipe(formula, source, request.contrasts)
    return _design(request, source, recipe, values, {})


def reduced_design(design: Design, formula: Formula) -> Design:
    """The design of some terms of another one: on its rows, with its response, levels, codings and knots.

    Args:
        design: The design.
        formula: Its formula with fewer terms.
    """
    request = replace(design.request, formula=formula)
    recipe, source = design.recipe.reduced(formula), design.source
    values = recipe.values(source.evaluator, source.rows)
    made = _design(request, source, recipe, values, _groupings(request, source))
    return replace(made, problem=replace(made.problem, response=design.problem.response))


def design_from_dict(
    spec: Mapping[str, Any], frame: pd.DataFrame, known: Mapping[str, Any] | None = None
) -> Design:
    """The design again from `Design.to_dict` and its table, with the levels, knots and means of then.

    Args:
        spec: What `to_dict` gave.
        frame: The columns that it uses.
        known: Its known covariances, as `Known.frame` gave them.
    """
    parsed = parse_formula(spec["formula"])
    recipe = recipe_from_dict(spec, parsed)
    weights: Any = frame[WEIGHTS].to_numpy() if spec["weights"] == WEIGHTS else spec["weights"]
    offset: Any = frame[OFFSET].to_numpy() if spec["offset"] == OFFSET else spec["offset"]
    residual = parse_residual(spec.get("residual"))
    missing, subset = spec.get("missing", "drop"), spec.get("subset")
    related = read_known(known, _groups_of(parsed))
    request = Request(
        parsed,
        weights,
        offset,
        recipe.contrasts(),
        missing,
        subset,
        None,
        residual,
        related,
        spec.get("variances"),
    )
    evaluator = Evaluator(open_table(frame, request.columns()), recipe.states)
    source = open_source(request, frame, evaluator)
    groupings = _groupings(request, source)
    _check_rows(request, source, groupings)
    return _design(request, source, recipe, recipe.values(evaluator, source.rows), groupings)


def _check_response(parsed: Formula) -> None:
    if any(parsed.response in term for term in parsed.fixed):
        raise FormulaError(
            f"`{parsed}`: the response `{parsed.response}` stands among the terms too; leave it out."
        )


def _check_rows(request: Request, source: Source, groupings: Mapping[str, Grouping]) -> None:
    """Refuse a response, weights and grouping factors that cannot be used, all of them at once.

    Raises:
        DataError: A response that does not vary, weights that are not positive, groups that tell nothing.
    """
    found = Findings()
    with found.part("formula"):
        check_response(_response(request.formula, source), request.formula.response.text)
    with found.part("weights"):
        check_weights(source.weights(request.weights))
    if request.variances is None:  # what is given need not be told apart by the data
        with found.part("formula"):
            check_groupings(groupings, source.count, _series(request.formula))
    with found.part("formula"):
        check_same(same_grouping(list(groupings.values())))
    found.raise_found()


def _response(formula: Formula, source: Source) -> Floats:
    return source.used(source.evaluator.numbers(formula.response))


def _design(
    request: Request,
    source: Source,
    recipe: Recipe,
    values: Mapping[Expression, Values],
    groupings: Mapping[str, Grouping],
) -> Design:
    """Columns, codes and names on the rows used."""
    formula, weights = request.formula, source.weights(request.weights)
    response = _response(formula, source)
    store = _Store()
    blocks = [columns_of(products, values, source.count) for products in recipe.fixed]
    fixed = tuple(place for block in blocks for place in store.add(block))
    drafts = _drafts(recipe, values, source, groupings, store)
    pairs = (pair for draft in drafts for pair in zip(draft.names, draft.columns, strict=True))
    check_sizes(response, [*(column for block in blocks for column in block), *pairs])
    if request.variances is None:
        check_terms(drafts, weights)
    seldom, undetermined = between_only(drafts)
    terms, random = _ordered(drafts)
    offset = offset_of(request, source.evaluator, source.vectors)
    used = None if offset is None else source.used(offset)
    residual = None if request.residual is None else on_rows(request.residual, source)
    _check_absorbed(formula, groupings, residual)
    arrays = residual.arrays if residual else None
    beside = residual.notices if residual else ()
    return Design(
        formula=str(formula),
        response=formula.response.text,
        problem=Problem(tuple(store.columns), fixed, response, terms, weights, used, arrays),
        fixed_names=tuple(name for block in blocks for name, _ in block),
        fixed_terms=_fixed_terms(formula, blocks),
        random=random,
        warnings=(
            *formula.notices,
            *reused_labels(list(groupings.values())),
            *seldom,
            *undetermined,
            *beside,
            *said(groupings, {bar.group.label: bar.group for bar in formula.random}),
        ),
        undetermined=tuple(undetermined),
        residual=residual,
        recipe=recipe,
        request=request,
        source=source,
    )


def on_rows(residual: ResidualFormula, source: Source) -> ResidualDesign:
    """The residual structure on the rows used, its faults those of `residual`."""
    with concerning("residual"):
        return (visit_design if residual.over_cells else row_design)(residual, source)


def _check_absorbed(
    formula: Formula, groupings: Mapping[str, Grouping], residual: ResidualDesign | None
) -> None:
    """Refuse random effects that the residuals of the same groups, by whatever name, hold already."""
    if residual is None or residual.subjects is None:
        return
    found = Findings()
    for bar in formula.random:
        if same_grouping([residual.subjects, groupings[bar.group.label]]):
            with found.part("formula"):
                refuse_absorbed(bar, residual.formula)
    found.raise_found()


def _rows_sentence(design: Design) -> str:
    given, used = design.source.table.rows, design.source.count
    if used == given:
        return f"{used:,} rows{design.within}."
    return f"{used:,} of {given:,} rows{design.within}; {given - used:,} dropped for missing values."


def _tables(design: Design) -> list[TextTable]:
    """Fixed terms, random terms, and the blocks of the equations: their lower triangle by grouping factor."""
    fixed = [(term.name, [design.fixed_names[j] for j in term.columns]) for term in design.fixed_terms]
    random = [
        (
            term.group,
            f"{term.grouping.size:,}",
            _shortened(term.names),
            f"{term.grouping.size * len(term.names):,}",
            str(term.structure.count),
        )
        for term in design.random
    ]
    kinds = {frozenset((r.fine, r.coarse)): r.kind for r in design.relations}
    names, widths = list(design.ngroups), Counter[str]()
    for term in design.random:
        widths[term.factor] += len(term.names)
    blocks = [
        (
            name,
            *(kinds[frozenset((name, other))] for other in names[:i]),
            "diagonal" if widths[name] == 1 else f"{widths[name]} x {widths[name]} blocks",
            *[""] * (len(names) - i),
        )
        for i, name in enumerate(names)
    ]
    columns = [(term, str(len(names)), _shortened(names)) for term, names in fixed] or [("none", "0", "")]
    parts = [TextTable("Fixed effects", [("term", "columns", "names"), *columns])]
    effects = ("group", "levels", "columns", "effects", "parameters")
    last = ("fixed", *["dense"] * (len(names) + 1))
    if design.random:
        parts.append(TextTable("Random effects", [effects, *random]))
    if design.residual:
        parts.append(_residual_table(design.residual))
    if design.random:
        parts.append(TextTable("Blocks of the mixed model equations", [("", *names, "fixed"), *blocks, last]))
    return parts


def _residual_table(residual: ResidualDesign) -> TextTable:
    subjects, formula = residual.subjects, residual.formula
    over = residual if isinstance(residual, VisitDesign) else None
    visits = f"{len(over.visits.names):,}" if over and formula.group else ""
    levels = [f"{of.name}: {of.size:,}" for of in (over and over.by, residual.ident) if of]
    row = (str(formula), f"{subjects.size:,}" if subjects else "", visits, ", ".join(levels))
    head = ("structure", "subjects", "visits", "levels", "parameters")
    return TextTable("Residuals", [head, (*row, f"{residual.structure.count:,}")])


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f", ... ({len(names)})" if len(names) > 6 else "")


def _sentences(design: Design) -> list[str]:
    """How the grouping factors relate, and what the user should look at."""
    sizes = design.ngroups
    related = [
        f"{r.fine} is nested in {r.coarse}."
        if r.kind == "nested"
        else f"{r.fine} and {r.coarse} are crossed: {r.cells:,} of {sizes[r.fine] * sizes[r.coarse]:,} cells "
        "occur."
        for r in design.relations
    ]
    related += [design.residual.words] if design.residual else []
    notes = [terminal(f"Note: {warning}") for warning in design.warnings]
    return [*(["\n".join(map(terminal, related))] if related else []), *notes]
