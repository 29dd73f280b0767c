"""The tipping point: by how much imputed responses must be shifted for the conclusion to turn.

Responses are imputed at random, and those of some rows shifted by delta; p(delta) is then that of the
estimate of the fit's model. From delta = 0 outwards, on both sides, p is looked at over a grid, and where it
crosses 1 - level between two neighbours the crossing is found by Brent's method. The same random numbers
serve at every delta, so that p is a smooth function of it.

By conditional means the estimate is a straight line, a + b delta, and its jackknife variance a parabola.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy

from lmmkit.engine.imputation.missing_responses import AT_RANDOM
from lmmkit.engine.imputation.pooling import Pooled, jackknife
from lmmkit.errors import DataError, FitError
from lmmkit.model.missing_data.sensitivity import (
    DRAWN,
    JACKKNIFE,
    NUMBERS,
    RUBIN,
    Sensitivity,
    UnderAssumptions,
    by_rubins_rules,
    missing_words,
    no_jackknife,
    sensitivity,
    told_apart,
)
from lmmkit.model.options import Seed
from lmmkit.model.table.columns import Mask
from lmmkit.model.text_table import TextTable
from lmmkit.model.threads import one_thread

STEPS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)  # of the grid on each side, in SDs of a response
EXACT = 1e-5  # of an SD: how closely a crossing is found
SMALL = 0.5  # SDs up to which a shift is small: a conclusion that turns there hangs on what is not seen
COLUMNS = ["method", *NUMBERS, "turns", "tip", "tip_sds", "below", "above"]
CURVE = ["method", "delta", *NUMBERS]


@dataclass(frozen=True, eq=False, repr=False)
class TippingPoint(UnderAssumptions):
    """The shifts of imputed responses at which a conclusion turns.

    Attributes:
        table: A row per method: estimate, se, df, t, p, low, high without a shift; `turns`, whether the
            conclusion does within the reach; `tip`, the nearest shift at which it does, in the unit of the
            response, and `tip_sds` in SDs of a response; `below` and `above`, the nearest on each side of
            zero. NaN: none.
        curve: A row per method and shift `delta`: estimate, se, df, t, p, low, high.
        facts: How much is missing, whose responses are shifted, SD, reach, whether the tip is small.
        notes: What to know, in sentences.
    """

    curve: pd.DataFrame

    @property
    def title(self) -> str:
        """What it is about."""
        return f"Tipping point of {self.facts['estimand']}"

    def _blocks(self) -> list[TextTable | Sequence[str]]:
        numbers = ["estimate", "p", "tip", "tip_sds", "below", "above"]
        table = self._table("Shift at which the conclusion turns", ["method"], numbers)
        return [[self.title], table, self.notes]

    def to_dict(self) -> dict[str, Any]:
        """Tables, facts and notes as plain values."""
        plain = super().to_dict()
        return {"table": plain.pop("table"), "curve": self.curve.to_dict("records"), **plain}


def tipping_point(
    fit: Any,
    of: Any,
    *,
    arm: str | None = None,
    shifted: Any = None,
    gaps: bool = False,
    data: Any = None,
    imputations: int = 100,
    df: str = "auto",
    level: float = 0.95,
    seed: Seed,
) -> TippingPoint:
    """How far imputed responses must be from what is expected at random for a conclusion to turn.

    The missing responses are imputed from the fit at random, those of some rows shifted by delta, and the
    model is fitted to the completed data; the conclusion, whether p is below 1 - level, turns at the tipping
    point. With a residual structure over visits the rows after the last response of a subject are shifted,
    otherwise all whose response is missing.

    Args:
        fit: Of `lmm`, of any model whose variances are estimated.
        of: The estimand: a coefficient, or a combination, as `Fit.contrast` reads it.
        arm: A column of the fixed part whose levels are told apart; needed beside `shifted`.
        shifted: The level of it, or several, whose imputed responses are shifted; all rows when left out.
        gaps: Whether responses missing before the last one of their subject are shifted too.
        data: A table with the rows of the fit and those whose response is missing; by default the one that
            the fit was given. With a residual structure over visits those at which a subject has no row are
            added.
        imputations: Their number.
        df: Degrees of freedom of complete data, from which those of Barnard and Rubin start.
        level: 1 - level is what p is compared with, and the coverage of the intervals.
        seed: Seed of the random numbers; imputation i is the same whatever their number is.

    Raises:
        DataError: No response is missing, a predictor is, or no row is shifted.
        FitError: No such column or level, variances that are given, or an option that is not offered.

    References:
        Cro, Morris, Kenward & Carpenter (2020), Sensitivity analysis for clinical trials with missing
        continuous outcome data using controlled multiple imputation, Statistics in Medicine 39, 2815-2842;
        Barnard & Rubin (1999), Biometrika 86, 948-955; Wolbers et al. (2022), Pharmaceutical Statistics 21,
        1246-1257.

    >>> from lmmkit import lmm
    >>> rows = frame.assign(y=frame["y"].where(frame.index != 8))
    >>> found = tipping_point(lmm("y ~ x + (1 | g)", rows), "x", imputations=20, seed=1)
    >>> found.table[["method", "estimate", "tip"]].round(2)
                            method  estimate   tip
    0   multiple imputation, Rubin      2.28 -2.61
    1  conditional mean, jackknife      2.25 -3.05
    """
    if shifted is not None and arm is None:
        raise FitError("shifted names levels of an arm: name the arm's column too.")
    basis = sensitivity(fit, of, data=data, imputations=imputations, df=df, level=level, seed=seed)
    return shifted_until(basis, arm, shifted, gaps=gaps)


def shifted_until(basis: Sensitivity, arm: str | None, shifted: Any, *, gaps: bool) -> TippingPoint:
    """The tipping point of a basis; see `tipping_point` for the others.

    Raises:
        DataError: No row is shifted.
        FitError: No such column or level.
    """
    rows = basis.rows
    mine, who = rows.missing if gaps else rows.tail, list[str]()
    if arm is not None:
        who, theirs = told_apart(rows, arm, shifted) if shifted is not None else ([], True)
        mine = mine & theirs
    if not mine.any():
        where = f" of {', '.join(who)}" if who else ""
        what = (
            "no response is missing"
            if gaps or rows.visits is None
            else "no subject has left before the last visit"
        )
        more = "" if gaps or rows.visits is None else "; gaps=True shifts those before it too"
        raise DataError(f"No imputed response{where} can be shifted: {what}{more}.")
    with one_thread():
        return _found(basis, mine, who, gaps=gaps)


def _found(basis: Sensitivity, mine: Mask, who: list[str], *, gaps: bool) -> TippingPoint:
    """The tipping point where the rows `mine` (n,), those of the levels `who`, are shifted."""
    shift, alpha = mine.astype(float), 1.0 - basis.level
    sd = float(np.sqrt((basis.rows.sds[mine] ** 2).mean()))  # of a response given its predictors
    Y = basis.drawn((AT_RANDOM,))[AT_RANDOM]
    complete_df = basis.analysis.complete_df(Y)
    methods: dict[str, Callable[[float], Pooled]] = {
        RUBIN: lambda delta: basis.pooled(Y + delta * shift[:, None], complete_df)
    }
    if not basis.means.why_not():
        whole, without = basis.means.shifted(shift)  # a + b delta, and the same without each unit
        methods[JACKKNIFE] = lambda delta: jackknife(
            float(whole[0] + delta * whole[1]), without[:, 0] + delta * without[:, 1]
        )
    tables, curves = list[dict[str, Any]](), list[dict[str, Any]]()
    for method, pooled in methods.items():
        seen = _Seen(basis, pooled, sd, alpha)
        below, above = seen.crossing(-1.0), seen.crossing(1.0)
        tips = [tip for tip in (below, above) if not np.isnan(tip)]
        tip = min(tips, key=abs) if tips else np.nan
        told = {"turns": bool(tips), "tip": tip, "tip_sds": tip / sd, "below": below, "above": above}
        tables.append({"method": method, **seen.at(0.0), **told})
        shown = sorted({*seen.grid, *tips})
        curves += [{"method": method, "delta": delta, **seen.at(delta)} for delta in shown]
    table = pd.DataFrame(tables)[COLUMNS]
    first = table.iloc[0]
    facts = basis.facts | {
        "complete_df": complete_df,
        "alpha": alpha,
        "shifted": int(mine.sum()),
        "of": who,
        "with_gaps": gaps,
        "sd": sd,
        "reach": STEPS[-1] * sd,
        "clear": bool(first["p"] < alpha),
        "small": bool(abs(first["tip_sds"]) <= SMALL),
    }
    notes = _notes(facts, first.to_dict(), basis.likelihood["estimate"])
    return TippingPoint(table, facts, notes, pd.DataFrame(curves)[CURVE])


def _notes(facts: Mapping[str, Any], first: Mapping[Any, Any], likelihood: float) -> tuple[str, ...]:
    """What to know of a tipping point whose first line of the table is `first`."""
    p = f"p = {first['p']:.3g}, {'below' if facts['clear'] else 'not below'} {facts['alpha']:.3g}"
    whose = f" of {', '.join(facts['of'])}" if facts["of"] else ""
    count, one = facts["shifted"], facts["shifted"] == 1
    which = f"{count:,} imputed response{'' if one else 's'}{whose}"
    if facts["over_visits"]:
        which += " (gaps among them)" if facts["with_gaps"] else " after the last visit of their subject"
    which += " is" if one else " are"
    verdict = (
        f"it turns when {which} shifted by {first['tip']:.4g}, {abs(first['tip_sds']):.2g} SDs of a response"
        if first["turns"]
        else f"it does not turn when {which} shifted by up to {facts['reach']:.4g} either way, "
        f"{STEPS[-1]:g} SDs of a response"
    )
    return (
        missing_words(facts),
        f"Without a shift {p}; {verdict}. A shift is in the unit of {facts['response']}.",
        f"{DRAWN} Missing at random, the estimate is the likelihood's plus noise: {first['estimate']:.5g} "
        f"for {likelihood:.5g}, from {facts['imputations']:,} imputations. {by_rubins_rules(facts)}.",
        no_jackknife(facts) or f"The jackknife leaves out one level of {facts['unit']} at a time.",
    )


class _Seen:
    """The estimates at the shifts that were looked at, each made once."""

    def __init__(
        self, basis: Sensitivity, pooled: Callable[[float], Pooled], sd: float, alpha: float
    ) -> None:
        self.basis, self.pooled, self.sd, self.alpha = basis, pooled, sd, alpha
        self.made = dict[float, dict[str, float]]()
        self.grid = {0.0}

    def at(self, delta: float) -> dict[str, float]:
        """The test and interval at a shift."""
        if delta not in self.made:
            self.made[delta] = self.basis.tested(self.pooled(delta))
        return self.made[delta]

    def crossing(self, side: float) -> float:
        """The nearest shift on one side at which p crosses alpha; NaN where there is none within reach."""

        def over(delta: float) -> float:
            return np.log(self.at(delta)["p"] / self.alpha) if self.at(delta)["p"] > 0.0 else -np.inf

        last, found = 0.0, np.nan
        for step in STEPS:
            here = side * step * self.sd
            self.grid.add(here)
            turned = (over(last) < 0.0) != (over(here) < 0.0)
            if not np.isnan(found):
                break  # one point beyond the crossing, for the picture
            if turned:
                found = self._root(over, last, here)
            last = here
        return found

    def _root(self, over: Callable[[float], float], low: float, high: float) -> float:
        if not np.isfinite([over(low), over(high)]).all():
            return self._halved(over, low, high)
        return float(scipy.optimize.brentq(over, low, high, xtol=EXACT * self.sd))

    def _halved(self, over: Callable[[float], float], low: float, high: float) -> float:
        while abs(high - low) > EXACT * self.sd:
            middle = (low + high) / 2.0
            low, high = (middle, high) if (over(middle) < 0.0) == (over(low) < 0.0) else (low, middle)
        return high
