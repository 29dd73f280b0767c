"""Several fits side by side in one table, for a terminal, a page, a paper or a repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol, cast, runtime_checkable

import numpy as np

from lmmkit.errors import FitError
from lmmkit.escape import html, latex, markdown
from lmmkit.model import tables
from lmmkit.model.comparison.nesting import same_fixed
from lmmkit.model.estimates import Estimates
from lmmkit.model.inference.linear_functions import coef_table
from lmmkit.model.options import check_level, check_option, whole
from lmmkit.model.resampling.variance_shares import icc, r2
from lmmkit.model.text_table import Cells, TextTable

Format = Literal["text", "html", "latex", "markdown"]
Show = Literal["se", "interval", "p"]


class SideBySide(str):
    """The text of a table, which a terminal and a notebook show as such."""

    __slots__ = ("_page",)
    _page: bool

    def __new__(cls, text: str, *, page: bool = False) -> SideBySide:
        """Text, a page's or not."""
        made = super().__new__(cls, text)
        made._page = page
        return made

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return str(self) if self._page else f"<pre>{html(str(self))}</pre>"


@runtime_checkable
class Shown(Protocol):
    """What `lmm` gives."""

    @property
    def estimates(self) -> Estimates:
        """Its numbers."""
        ...


def table(
    *fits: Shown,
    format: Format = "text",  # noqa: A002  pandas' and R's word for it
    names: Sequence[str] | None = None,
    show: Show = "se",
    df: str = "auto",
    level: float = 0.95,
    digits: int = 3,
) -> SideBySide:
    """Several fits side by side: coefficients, variance parameters, sizes, shares of variance, criteria.

    Args:
        fits: Of `lmm`, of any data.
        format: "text", "html", "latex" (needs no package) or "markdown".
        names: Heads of the columns; by default the responses, numbered where one occurs twice.
        show: What stands in brackets behind a coefficient: its standard error, its interval or its p.
        df: Denominator degrees of freedom, as in `coef_table`.
        level: Coverage of the intervals.
        digits: Decimals.

    Raises:
        FitError: No fit, something else, another number of names, or an option that is not offered.

    >>> from lmmkit.model.fit import lmm
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"y": [3.0, 4, 7, 6, 9, 12, 2, 2, 5], "x": [0, 1, 2] * 3})
    >>> frame["g"] = list("aaabbbccc")
    >>> print(table(lmm("y ~ x + (1 | g)", frame), lmm("y ~ 1 + (1 | g)", frame), names=["one", "two"]))
    2 models
                       one            two
      Intercept        3.389 (1.830)  5.556 (1.788)
      x                2.167 (0.387)
      g.sd.Intercept   3.048          2.789
      Residual.sd      0.949          2.333
      rows             9              9
      groups: g        3              3
      ICC, adjusted    0.912          0.588
      R2, marginal     0.257          0.000
      R2, conditional  0.934          0.588
      AIC              38.047         47.787
      criterion        REML           REML
    In brackets standard errors; degrees of freedom: kenward-roger.
    AIC of REML fits is comparable only between fits with the same fixed part: see compare().
    """
    check_option("format", format, list(WRITERS))
    check_option("show", show, ("se", "interval", "p"))
    check_level("level", level)
    places = 0 if digits == 0 else whole("digits", digits, "decimals")
    given = cast("Sequence[Any]", fits)
    strange = [type(fit).__name__ for fit in given if not isinstance(fit, Shown)]
    if strange or not fits:
        found = f"a {strange[0]}" if strange else "nothing"
        raise FitError(f"table() shows fits of lmm(), and was given {found}: call table(fit1, fit2).")
    estimates = [fit.estimates for fit in fits]
    heads = _heads(names, estimates)
    columns = [dict(_column(one, show, df, level, places)) for one in estimates]
    # Sections in their order; within each the names as they are first met.
    met = dict.fromkeys(key for column in columns for key in column)
    rows = sorted(met, key=lambda key: key[0])
    cells: Cells = [("", *heads)]
    cells += [(key[1], *(column.get(key, "") for column in columns)) for key in rows]
    return WRITERS[format](cells, list(_notes(estimates, show, df, level)))


def _heads(names: Sequence[str] | None, estimates: Sequence[Estimates]) -> list[str]:
    if names is None:
        own = [one.design.response for one in estimates]
        return [
            f"{name} ({own[: i + 1].count(name)})" if own.count(name) > 1 else name
            for i, name in enumerate(own)
        ]
    heads = [names] if isinstance(names, str) else list(map(str, names))
    if len(heads) != len(estimates):
        raise FitError(f"names: {len(estimates)} are expected, one for each fit, not {len(heads)}.")
    return heads


def _column(
    estimates: Estimates, show: Show, df: str, level: float, digits: int
) -> Iterator[tuple[tuple[int, str], str]]:
    """Cells of one fit by section and name."""

    def number(value: float) -> str:
        return "" if np.isnan(value) else f"{value:.{digits}f}"

    for name, row in coef_table(estimates, df=df, level=level).to_dict("index").items():
        behind = {
            "se": f"({number(row['se'])})",
            "interval": f"[{number(row['low'])}, {number(row['high'])}]",
            "p": f"(p = {number(row['p'])})",
        }[show]
        yield (0, str(name)), f"{number(row['estimate'])} {behind}"
    parameters = zip(tables.parameter_names(estimates), tables.parameters(estimates).tolist(), strict=True)
    for name, value in parameters:
        yield (1, name), number(value)
    yield (2, "rows"), f"{estimates.nobs:,}"
    for name, size in estimates.ngroups.items():
        yield (2, f"groups: {name}"), f"{size:,}"
    if estimates.random:
        yield (3, "ICC, adjusted"), number(icc(estimates, None, 0, 0.95)["estimate"].iloc[0])
    for name, value in r2(estimates, None, 0, 0.95)["estimate"].items():
        yield (3, f"R2, {name}"), number(value)
    yield (4, "AIC"), number(estimates.aic)
    yield (4, "criterion"), "REML" if estimates.reml else "ML"


def _notes(estimates: Sequence[Estimates], show: Show, df: str, level: float) -> Iterator[str]:
    """What to know of the cells."""
    methods = dict.fromkeys(m for one in estimates for m in coef_table(one, df=df, level=level)["method"])
    shown = {"se": "standard errors", "interval": f"{level:.4g} intervals", "p": "p of t tests"}
    yield f"In brackets {shown[show]}; degrees of freedom: {'; '.join(methods)}."
    reml = [one for one in estimates if one.reml]
    apart = len(reml) < len(estimates) or not all(same_fixed(reml[0], one) for one in reml[1:])
    if reml and len(estimates) > 1 and apart:
        yield "AIC of REML fits is comparable only between fits with the same fixed part: see compare()."
    if any(not one.converged for one in estimates):
        yield "A fit has not converged."
    if any(one.is_singular for one in estimates):
        yield "A fit is singular: a covariance matrix of random effects has a null direction."


def _text(cells: Cells, notes: list[str]) -> SideBySide:
    title = f"{len(cells[0]) - 1} model{'s' if len(cells[0]) > 2 else ''}"
    return SideBySide("\n".join([TextTable(title, cells).text(), *notes]))


def _html(cells: Cells, notes: list[str]) -> SideBySide:
    made = TextTable(" ".join(notes), cells).html()
    return SideBySide(made, page=True)


def _latex(cells: Cells, notes: list[str]) -> SideBySide:
    columns = len(cells[0])
    head, *body = [" & ".join(map(latex, row)) + r" \\" for row in cells]
    lines = [rf"\begin{{tabular}}{{l{'r' * (columns - 1)}}}", r"\hline", head, r"\hline", *body, r"\hline"]
    told = [rf"\multicolumn{{{columns}}}{{l}}{{{latex(note)}}} \\" for note in notes]
    return SideBySide("\n".join([*lines, *told, r"\end{tabular}"]))


def _markdown(cells: Cells, notes: list[str]) -> SideBySide:
    rows = ["| " + " | ".join(map(markdown, row)) + " |" for row in cells]
    rule = "|---|" + "---:|" * (len(cells[0]) - 1)
    return SideBySide("\n".join([rows[0], rule, *rows[1:], "", *map(markdown, notes)]))


WRITERS: dict[str, Callable[[Cells, list[str]], SideBySide]] = {
    "text": _text,
    "html": _html,
    "latex": _latex,
    "markdown": _markdown,
}
