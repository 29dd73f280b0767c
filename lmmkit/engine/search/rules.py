"""Every threshold of the searches, in one frozen table.

Three searches share it: the fit (`SEARCH`), the profile of one parameter (`PROFILE`, which differs where its
points must be exact to a root's digits and where it has no EM step), and many replicates at once (`BATCH`,
which retires a replicate a step earlier and leaves hard ones to the fit). `table` prints all three;
docs/search-rules.md is that table.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any


def _rule(value: Any, unit: str, what: str, halved: str) -> Any:
    return field(default=value, metadata={"unit": unit, "what": what, "halved": halved})


@dataclass(frozen=True)
class Rules:
    """Thresholds; the decrement is g'|H|^-1 g, twice the fall that Newton's quadratic model promises."""

    found: float = _rule(
        1e-8,
        "deviance",
        "decrement at which the search is over; what follows is polishing, not counted",
        "one evaluation more is counted in about half the fits",
    )
    enough: float = _rule(
        1e-17,
        "deviance",
        "decrement at which nothing is left to gain: theta within 1e-8 of its standard errors",
        "now and then one more step; below rounding the stall rule ends it",
    )
    stalled: float = _rule(
        1e-13,
        "deviance",
        "below this a decrement that no longer falls is rounding, and the search ends",
        "a search whose gradient is all rounding takes some more steps",
    )
    stall_ratio: float = _rule(
        4.0,
        "1",
        "a decrement falls when it is below the last one over this",
        "slow but true convergence below `stalled` goes on for longer",
    )
    correct_below: float = _rule(
        1e-5,
        "deviance",
        "decrement below which the Hessian gets the symmetric rank-one correction of its last error",
        "one more linear step in some fits",
    )
    skip_correction: float = _rule(
        1e-8,
        "1",
        "the correction v v'/v's is left out when |v's| is below this share of |v||s|",
        "corrections by a nearly zero denominator: wild steps, rejected",
    )
    slack: float = _rule(
        1e-12,
        "of the deviance",
        "rise of the deviance that a step may have",
        "the EM step takes over where rounding alone is in the way",
    )
    end_below: float = _rule(
        1e-5,
        "deviance",
        "decrement below which `end_slack` holds in place of `slack`",
        "as `slack`",
    )
    end_slack: float = _rule(
        1e-10,
        "of the deviance",
        "rise that a step may have near the end, where the deviance is all rounding",
        "good last steps are rejected at large deviances, and EM crawls",
    )
    least_eigenvalue: float = _rule(
        1e-10,
        "of the largest",
        "floor of the Hessian's absolute eigenvalues",
        "steps along flat directions are twice as long before the trust rule cuts them",
    )
    reach: tuple[float, float] = _rule(
        (1.0, 2.0),
        "theta, of |theta|",
        "longest step: the larger of the first and of this multiple of |theta|",
        "more steps from a bad start",
    )
    trust_shrink: float = _rule(
        4.0,
        "1",
        "a rejected step's length over this is the next limit",
        "more rejections in a row",
    )
    trust_grow: float = _rule(3.0, "1", "the limit grows by this after a success", "slower recovery")
    least_trust: float = _rule(1e-3, "of the reach", "floor of the limit", "slower recovery from a wall")
    halvings: int = _rule(
        0,
        "steps",
        "times that a rejected step is halved before anything else is tried",
        "narrow valleys of a profile are given up",
    )
    patience: int = _rule(
        25,
        "steps",
        "after which the columns are reordered: a zero leading pivot makes the search crawl",
        "more fits are restarted that would have arrived",
    )
    exact_after: int = _rule(
        50,
        "steps",
        "after which the exact Hessian replaces average information",
        "2 m evaluations a step, earlier",
    )
    limit: int = _rule(
        150, "steps", "after which the search has not converged", "some hard fits do not converge"
    )
    steep_null: float = _rule(
        1e-3,
        "deviance per level",
        "a rejected step leaves a null direction of T along which the deviance falls by more",
        "more such tries, some for nothing",
    )
    null_escapes: int = _rule(3, "times", "that a rejected step may do so", "saddles are left later, by EM")
    saddle_slope: float = _rule(
        1e-6,
        "deviance per level",
        "at a stationary point a multiplier below minus this is a way down",
        "more tries that gain less than `gain`",
    )
    saddle_curvature: float = _rule(
        1e-7,
        "of the largest",
        "a profile's point with an eigenvalue below minus this is a saddle",
        "tries along rounding",
    )
    escapes: int = _rule(
        10, "times", "that a search goes on from a saddle", "models of many terms may stay at one"
    )
    sizes: tuple[float, ...] = _rule(
        (1.0, 0.1, 0.01, 0.001),
        "scaled T",
        "how far the ways off a saddle are tried, the first that gains is taken",
        "wells beyond are passed over",
    )
    gain: float = _rule(
        1e-9,
        "deviance",
        "what a way off a saddle must gain",
        "rounding may look like a gain",
    )
    negligible: float = _rule(
        1e-9,
        "deviance",
        "a direction of T is null when the deviance without it is no higher than this",
        "variances of 1e-10 are reported that are zeros",
    )
    suspect: float = _rule(
        1e-3,
        "of a typical row's variance",
        "eigenvalues of scaled T below this are tried for null",
        "as `negligible`, in small levels",
    )
    null_multiplier: float = _rule(
        1e-9,
        "deviance per level",
        "a null direction's multiplier may be no lower than minus this",
        "as rounding allows",
    )
    multiplier: float = _rule(
        1e-6,
        "deviance per level",
        "the certificate's bound on multipliers",
        "rounding fails some certificates",
    )
    complementarity: float = _rule(
        1e-6,
        "deviance per level",
        "the certificate's bound on |L'DL|",
        "as above",
    )
    flat: float = _rule(
        1e-9,
        "of the largest",
        "the certificate's bound on negative curvature",
        "as above",
    )
    em_opening: int = _rule(
        25, "steps", "EM steps before Newton's in `em-newton`, as in nlme", "nothing to see"
    )
    rounds: int = _rule(
        3,
        "runs",
        "a quasi-Newton search is started again while it gains",
        "line searches that fail on rounding end it",
    )
    round_gain: float = _rule(1e-10, "deviance", "what such a run must gain", "as rounding allows")
    spent: float = _rule(
        1e-14,
        "deviance",
        "decrement at which a quasi-Newton search is stopped",
        "a few more iterations",
    )
    vanished: float = _rule(
        1e-10,
        "of the response's variance",
        "residual variance that a search without an end has run to",
        "such models are called not converged in place of refused",
    )
    bound: float = _rule(
        1e-11,
        "of the distance to the estimate",
        "step at which the search for a profile's bound ends",
        "one more profile for some bounds",
    )
    profiles: int = _rule(60, "profiles", "for one bound at most", "hard bounds are not found")
    elsewhere: float = _rule(
        1e-7,
        "deviance",
        "by which a second search from the fit must end lower to count",
        "as rounding allows",
    )
    better: float = _rule(
        1e-5,
        "deviance",
        "a profile this far below the fit has found a better optimum",
        "as rounding allows",
    )
    outward: float = _rule(
        4.0, "of the distance to the estimate", "longest step outward", "more profiles a bound"
    )
    nudge: float = _rule(
        0.1,
        "of a level's precision",
        "where a profile starts a coordinate that is zero, for its slope is zero there",
        "slower starts",
    )


SEARCH = Rules()
# Its bounds are roots: the deviance must be exact to their digits, but not theta. No EM step: it halves.
PROFILE = replace(
    SEARCH,
    enough=1e-13,
    stalled=1e-11,
    correct_below=1e-3,
    halvings=29,
    exact_after=20,
    sizes=(1.0, 0.1, 0.01),
)
# One step more for all replicates would cost more than its digits are worth; what crawls is left to the fit.
BATCH = replace(SEARCH, enough=1e-16, stalled=1e-12, limit=30)


def table() -> str:
    """The three sets of rules as a Markdown table."""
    head = ["rule", "fit", "profile", "batch", "unit", "what it is", "halved"]
    rows = [head, ["---"] * len(head)]
    for rule in fields(Rules):
        values = [_shown(getattr(rules, rule.name)) for rules in (SEARCH, PROFILE, BATCH)]
        meta = rule.metadata
        rows.append([f"`{rule.name}`", *values, meta["unit"], meta["what"], meta["halved"]])
    return (
        "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows) + "\n"
    )


def _shown(value: float | tuple[float, ...]) -> str:
    return ", ".join(f"{v:g}" for v in value) if isinstance(value, tuple) else f"{value:g}"
