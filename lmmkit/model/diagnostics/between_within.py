"""Whether a predictor acts alike between groups and within them: the Mundlak term, tried.

Reference: Mundlak (1978), On the pooling of time series and cross section data, Econometrica 46, 69-85.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lmmkit.engine.arrays import Floats, Ints
from lmmkit.model.design.design import Design
from lmmkit.model.diagnostics.added_columns import AddedColumns, added_columns
from lmmkit.model.diagnostics.check_result import CheckResult, Fact, Sentence, Unchecked, column, number
from lmmkit.model.diagnostics.replicated import Replicated
from lmmkit.model.estimates import Estimates
from lmmkit.model.table.grouping import Grouping
from lmmkit.model.threads import one_thread

CHECK = "between and within effects"
VARIES = 1e-3  # share of a predictor's sum of squares between or within groups from which it varies there
SPARE_LEVELS = 4  # groups beyond the number of means that are tried
MATTERS = 0.5  # standard errors by which a coefficient moves
WIDEST = 20  # columns of a factor whose means are tried


def group_means(values: Floats, codes: Ints, size: int) -> Floats:
    """Returns (n, k) means of columns over the groups, on the rows."""
    counts = np.maximum(np.bincount(codes, minlength=size), 1)
    sums = np.stack([np.bincount(codes, each, minlength=size) for each in values.T], axis=1)
    return (sums / counts[:, None])[codes]


@dataclass(frozen=True, eq=False)
class _Split:
    """A predictor whose group means may be added.

    Attributes:
        name: The term.
        group: The grouping factor.
        own: (k,) places of its coefficients.
        test: Its group means.
    """

    name: str
    group: str
    own: Ints
    test: AddedColumns


class BetweenWithin:
    """Group means of every predictor that varies between and within groups, for every grouping factor.

    A score test at the fitted variances: where a predictor's slope is one slope, its group mean explains
    nothing beside it.
    """

    def __init__(self, estimates: Estimates) -> None:
        self.estimates = estimates
        self.splits = list[_Split]()
        self.left = list[Unchecked]()
        tried, columns = list[tuple[str, str, Ints]](), list[Floats]()
        X, mains = estimates.X, list(_mains(estimates))
        for grouping in _groupings(estimates.design):
            if grouping.members:
                self.left.append(_unchecked(grouping.name, "its rows belong to several levels"))
                continue
            kinds = list[str]()
            for name, own in mains:
                kind, means = _means(X[:, own], grouping)
                kinds.append(kind)
                if kind == "gaps":
                    self.left.append(_of_gaps(name, grouping.name))
                if not kind:
                    tried.append((name, grouping.name, own))
                    columns.append(means)
            if all(kinds) and "gaps" not in kinds:
                self.left.append(_unchecked(grouping.name, _why(kinds)))
        with one_thread():
            tests = added_columns(estimates, columns)
        for (name, group, own), test in zip(tried, tests, strict=True):
            if test.rank:
                self.splits.append(_Split(name, group, own, test))

    def __call__(self, replicated: Replicated) -> Iterator[CheckResult | Unchecked]:
        """What the check finds in a chunk of replicates."""
        for split in self.splits:
            yield self._found(split, replicated.normalised)
        yield from self.left

    def _found(self, split: _Split, normalised: Floats) -> CheckResult:
        estimates, own = self.estimates, split.own
        delta = split.test.coefficients(normalised[:, :1])[:, 0]
        change = -(split.test.beta @ delta)[own]
        se = estimates.bse[own]
        at = int(np.abs(change / se).argmax())
        now, then = float(estimates.beta[own[at]]), float(estimates.beta[own[at]] + change[at])
        size = abs(float(change[at])) / float(se[at])
        effect = Fact("effect", estimates.names[own[at]])
        variable, group = column(split.name), column(split.group)
        return CheckResult(
            check=CHECK,
            of=f"{split.name} in {split.group}",
            fine=Sentence(
                "Effects of {} between and within the levels of {} were not found to differ: with its group "
                "mean beside it the coefficient of {} would be {}, not {}.",
                variable, group, effect, number(then), number(now),
            ),
            notable=Sentence(
                "The effect of {} between the levels of {} is not that within them: with its group mean "
                "beside it the coefficient of {} would be {}, not {}, and that of the mean {}.",
                variable, group, effect, number(then), number(now), number(float(delta[at])),
            ),
            statistic=split.test.squares(normalised),
            size=size,
            matters=size >= MATTERS,
            remedy=_remedy(estimates.design, split.name, split.group),
            method="score test of the group means",
        )  # fmt: skip


def _groupings(design: Design) -> list[Grouping]:
    """The grouping factors, and the subjects of a residual structure."""
    subjects = design.residual.subjects if design.residual else None
    own = {grouping.name: grouping for grouping in design.groupings}
    return list((own | ({subjects.name: subjects} if subjects else {})).values())


def _mains(estimates: Estimates) -> Iterator[tuple[str, Ints]]:
    """Each fixed term of one variable, with the places of its coefficients."""
    design = estimates.design
    kept = {column: place for place, column in enumerate(estimates.kept)}
    for term in design.fixed_terms:
        own = np.array([kept[c] for c in term.columns if c in kept], np.intp)
        if len(design.composition[term.name]) == 1 and 0 < len(own) <= WIDEST:
            yield term.name, own


def _means(values: Floats, grouping: Grouping) -> tuple[str, Floats]:
    """Why the group means of a predictor's columns are not tried, if so, and the means."""
    means = group_means(values, grouping.codes, grouping.size)
    whole = float(((values - values.mean(axis=0)) ** 2).sum())
    if ((values - means) ** 2).sum() <= VARIES * whole:
        return "between", means
    if ((means - means.mean(axis=0)) ** 2).sum() <= VARIES * whole:
        return "within", means
    if _one_schedule(values, grouping.codes):
        return "gaps", means
    return ("few" if grouping.size < values.shape[1] + SPARE_LEVELS else ""), means


def _one_schedule(values: Floats, codes: Ints) -> bool:
    """Whether some group has every value of a predictor once, and no group one twice: others lack rows.

    Then means of groups differ by the rows that are missing alone, as after dropout those of time do.
    """
    kinds = np.unique(values, axis=0, return_inverse=True)[1].ravel()
    pairs = codes.astype(np.int64) * (int(kinds.max()) + 1) + kinds
    return len(np.unique(pairs)) == len(pairs) and int(np.bincount(codes).max()) == int(kinds.max()) + 1


def _of_gaps(name: str, group: str) -> Unchecked:
    form = "but for missing rows they have the same values of it, so that its means only tell who lacks rows"
    what = Sentence("Whether {} acts alike between and within the levels of {}", column(name), column(group))
    return Unchecked(CHECK, f"{name} in {group}", Sentence(form), what)


def _why(kinds: list[str]) -> str:
    if not kinds:
        return "the fixed part has no predictor"
    if set(kinds) == {"within"}:
        return "its levels have the same means of every predictor"
    if set(kinds) == {"between"}:
        return "no predictor varies within its levels"
    if "few" in kinds:
        return "it has too few levels"
    return "no predictor varies both between and within its levels"


def _unchecked(group: str, why: str) -> Unchecked:
    what = Sentence("Whether predictors act alike between and within the levels of {}", column(group))
    return Unchecked(CHECK, group, Sentence(why), what)


def _remedy(design: Design, name: str, group: str) -> str:
    if (
        design.composition[name][0].kind == "factor"
    ):  # whose means are shares of levels: `group_mean` has none
        return (
            f"add the share of each level of {name} in the levels of {group} to the data and the fixed part"
        )
    if not (name.isidentifier() and group.isidentifier()):
        return f"add the means of {name} over {group} to the fixed part"
    return f"derive `{name}_mean: group_mean({name}, {group})` and add `{name}_mean` to the fixed part"
