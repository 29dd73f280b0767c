"""Which conclusions of a fit turn on one row or one group, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lmmkit.model.influence.without_unit import FocusTest

NAMED = 3  # units that a sentence names


@dataclass(frozen=True)
class Turn:
    """A unit that a conclusion turns on.

    Attributes:
        label: What it is called.
        what: "p", "sign", or a variance that vanishes or appears; several with commas between them.
        estimate, p: Of the focus without it.
        method: How that was found.
    """

    label: str
    what: str
    estimate: float
    p: float
    method: str


@dataclass(frozen=True)
class Conclusions:
    """What a fit concludes, and the units that it turns on.

    Attributes:
        of: "rows", or the name of the factor.
        focus: What the focus is.
        whole: Its test on all rows.
        alpha: Level of the test.
        units: How many units there are.
        refitted: How many of them were refitted, or found by a step.
        turns: The units that a conclusion turns on.
        low, high, most: Range of the focus estimate over all deletions, and the largest p.
        least: The smallest p.
        lost: RowSets without which a coefficient cannot be estimated.
    """

    of: str
    focus: str
    whole: FocusTest
    alpha: float
    units: int
    refitted: int
    turns: tuple[Turn, ...]
    low: float
    high: float
    most: float
    least: float
    lost: tuple[str, ...]

    @property
    def serious(self) -> bool:
        """Whether the answer to the focus turns on one unit: which side of alpha its p is, or its sign.

        A sign counts where p is below alpha with the unit or without it.
        """
        return any(self.turns_answer(turn) for turn in self.turns)

    def turns_answer(self, turn: Turn) -> bool:
        """Whether it is the answer that turns on a unit, not a variance alone."""
        kinds = turn.what.split(", ")
        return "p" in kinds or ("sign" in kinds and min(turn.p, self.whole.p) < self.alpha)

    def sentence(self) -> str:
        """Whether any conclusion turns on one unit."""
        unit = "row" if self.of == "rows" else f"level of {self.of}"
        parts = [self._about_turns(unit), self._about_lost(unit)]
        return " ".join(part for part in parts if part)

    def _about_turns(self, unit: str) -> str:
        if len(self.lost) == self.units:
            return ""
        if not self.turns:
            return f"No conclusion turns on a single {unit}: {self._range()}"
        first = [turn for turn in self.turns if self.turns_answer(turn)] or list(self.turns)
        named = "; ".join(self._told(turn) for turn in first[:NAMED])
        more = f"; and {len(first) - NAMED:,} more alike" if len(first) > NAMED else ""
        what = f"The answer ({self.focus})" if self.serious else "A part of the picture"
        others = [turn for turn in self.turns if turn not in first]
        rest = f" Beside that, {'; '.join(self._told(t) for t in others[:NAMED])}." if others else ""
        return f"{what} turns on a single {unit}: {named}{more}.{rest}"

    def _told(self, turn: Turn) -> str:
        """`without 308 p is .08 in place of .03`."""
        out = list[str]()
        for kind in turn.what.split(", "):
            if kind == "p":
                out.append(
                    f"p is {short_p(turn.p, self.alpha)} in place of {short_p(self.whole.p, self.alpha)}"
                )
            elif kind == "sign":
                out.append(f"the estimate is {turn.estimate:.4g} in place of {self.whole.estimate:.4g}")
            else:
                name, verb = kind.rsplit(" ", 1)
                out.append(f"{name} {'is estimated as zero' if verb == 'vanishes' else 'is no longer zero'}")
        how = "" if turn.method == "exact refit" else f" ({turn.method})"
        return f"without {turn.label} {' and '.join(out)}{how}"

    def _range(self) -> str:
        """What the focus is without any one of them."""
        left = self.units - len(self.lost)
        others = f" other{'' if left == 1 else 's'}" if self.lost else ""
        start = f"whichever of the {left:,}{others} is left out,"
        if not np.isfinite(self.whole.p):
            return f"{start} every variance stays on its side of zero."
        side = "below" if self.whole.p < self.alpha else "above"
        p = (
            f"{'' if self.most < 1e-4 else 'at most '}{short_p(self.most, self.alpha)}"
            if side == "below"
            else f"at least {short_p(self.least, self.alpha)}"
        )
        test = f"its p stays {side} {self.alpha:g} ({p})"
        if not np.isfinite(self.low):
            return f"{start} the p of the test ({self.focus}){test.removeprefix('its p')}."
        sign = "positive" if self.whole.estimate > 0.0 else "negative"
        range_ = f"({self.low:.4g} to {self.high:.4g})"
        return f"{start} the estimate ({self.focus}) stays {sign} {range_} and {test}."

    def _about_lost(self, unit: str) -> str:
        if not self.lost:
            return ""
        names = ", ".join(self.lost[:NAMED]) + (", ..." if len(self.lost) > NAMED else "")
        some = f"the {unit} {names}"
        if len(self.lost) > 1:
            some = f"any of {len(self.lost):,} ({names})"
        return f"Without {some} a coefficient cannot be estimated at all."


def short_p(p: float, alpha: float) -> str:
    """Two digits of a p, and more where they would hide on which side of alpha it is."""
    if p < 1e-4:
        return "below .0001"
    told = (f"{p:.{digits}g}" for digits in range(2, 8))
    sided = (text for text in told if (float(text) - alpha) * (p - alpha) > 0.0)
    return next(sided, f"{p:.7g}").replace("0.", ".", 1)


def conclusions(table: pd.DataFrame, of: str, focus: str, whole: FocusTest, alpha: float) -> Conclusions:
    """What the table of an influence says of the conclusions."""
    turned = table[table["turns"] != ""]
    known = table["p"].dropna()
    values = table["estimate"].dropna()
    lost = table.index[table["method"] == "not estimable"]
    return Conclusions(
        of,
        focus,
        whole,
        alpha,
        len(table),
        int((table["method"] != "variances held").sum()),
        tuple(_turns(turned)),
        float(values.min()) if len(values) else np.nan,
        float(values.max()) if len(values) else np.nan,
        float(known.max()) if len(known) else np.nan,
        float(known.min()) if len(known) else np.nan,
        tuple(str(label) for label in lost),
    )


def _turns(turned: pd.DataFrame) -> Sequence[Turn]:
    columns = ["turns", "estimate", "p", "method"]
    rows: list[tuple[Any, ...]] = list(turned[columns].itertuples(name=None))
    return [Turn(str(label), what, float(b), float(p), how) for label, what, b, p, how in rows]
