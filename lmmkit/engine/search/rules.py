"""Every threshold of the searches, in one frozen table.

Three searches share it: the fit (`SEARCH`), the profile of one parameter (`PROFILE`, which differs where its
points must be exact to a root's digits and where it has no EM step), and many replicates at once (`BATCH`,
which retires a replicate a step earlier and leaves hard ones to the fit). `table` prints all three;
docs/search-rules.md is that table.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Rules:
    """Thresholds; the decrement is g'|H|^-1 g, twice the fall that Newton's quadratic model promises.

    Attributes:
        found: [deviance] decrement at which the search is over; what follows is polishing, not counted.
            Halved: one evaluation more is counted in about half the fits.
        enough: [deviance] decrement at which nothing is left to gain: theta within 1e-8 of its standard
            errors. Halved: now and then one more step; below rounding the stall rule ends it.
        stalled: [deviance] below this a decrement that no longer falls is rounding, and the search ends.
            Halved: a search whose gradient is all rounding takes some more steps.
        stall_ratio: [1] a decrement falls when it is below the last one over this. Halved: slow but true
            convergence below `stalled` goes on for longer.
        correct_below: [deviance] decrement below which the Hessian gets the symmetric rank-one correction of
            its last error. Halved: one more linear step in some fits.
        skip_correction: [1] the correction v v'/v's is left out when |v's| is below this share of |v||s|.
            Halved: corrections by a nearly zero denominator: wild steps, rejected.
        slack: [of the deviance] rise of the deviance that a step may have. Halved: the EM step takes over
            where rounding alone is in the way.
        end_below: [deviance] decrement below which `end_slack` holds in place of `slack`. Halved: as `slack`.
        end_slack: [of the deviance] rise that a step may have near the end, where the deviance is all
            rounding. Halved: good last steps are rejected at large deviances, and EM crawls.
        least_eigenvalue: [of the largest] floor of the Hessian's absolute eigenvalues. Halved: steps along
            flat directions are twice as long before the trust rule cuts them.
        reach: [theta, of |theta|] longest step: the larger of the first and of this multiple of |theta|.
            Halved: more steps from a bad start.
        trust_shrink: [1] a rejected step's length over this is the next limit. Halved: more rejections in a
            row.
        trust_grow: [1] the limit grows by this after a success. Halved: slower recovery.
        least_trust: [of the reach] floor of the limit. Halved: slower recovery from a wall.
        halvings: [steps] times that a rejected step is halved before anything else is tried. Halved: narrow
            valleys of a profile are given up.
        patience: [steps] after which the columns are reordered: a zero leading pivot makes the search crawl.
            Halved: more fits are restarted that would have arrived.
        exact_after: [steps] after which the exact Hessian replaces average information. Halved: 2 m
            evaluations a step, earlier.
        limit: [steps] after which the search has not converged. Halved: some hard fits do not converge.
        steep_null: [deviance per level] a rejected step leaves a null direction of T along which the deviance
            falls by more. Halved: more such tries, some for nothing.
        null_escapes: [times] that a rejected step may do so. Halved: saddles are left later, by EM.
        saddle_slope: [deviance per level] at a stationary point a multiplier below minus this is a way down.
            Halved: more tries that gain less than `gain`.
        saddle_curvature: [of the largest] a profile's point with an eigenvalue below minus this is a saddle.
            Halved: tries along rounding.
        escapes: [times] that a search goes on from a saddle. Halved: models of many terms may stay at one.
        sizes: [scaled T] how far the ways off a saddle are tried, the first that gains is taken. Halved:
            wells beyond are passed over.
        gain: [deviance] what a way off a saddle must gain. Halved: rounding may look like a gain.
        negligible: [deviance] a direction of T is null when the deviance without it is no higher than this.
            Halved: variances of 1e-10 are reported that are zeros.
        suspect: [of a typical row's variance] eigenvalues of scaled T below this are tried for null. Halved:
            as `negligible`, in small levels.
        null_multiplier: [deviance per level] a null direction's multiplier may be no lower than minus this.
            Halved: as rounding allows.
        multiplier: [deviance per level] the certificate's bound on multipliers. Halved: rounding fails some
            certificates.
        complementarity: [deviance per level] the certificate's bound on |L'DL|. Halved: as above.
        flat: [of the largest] the certificate's bound on negative curvature. Halved: as above.
        em_opening: [steps] EM steps before Newton's in `em-newton`, as in nlme. Halved: nothing to see.
        rounds: [runs] a quasi-Newton search is started again while it gains. Halved: line searches that fail
            on rounding end it.
        round_gain: [deviance] what such a run must gain. Halved: as rounding allows.
        spent: [deviance] decrement at which a quasi-Newton search is stopped. Halved: a few more iterations.
        vanished: [of the response's variance] residual variance that a search without an end has run to.
            Halved: such models are called not converged in place of refused.
        bound: [of the distance to the estimate] step at which the search for a profile's bound ends. Halved:
            one more profile for some bounds.
        profiles: [profiles] for one bound at most. Halved: hard bounds are not found.
        elsewhere: [deviance] by which a second search from the fit must end lower to count. Halved: as
            rounding allows.
        better: [deviance] a profile this far below the fit has found a better optimum. Halved: as rounding
            allows.
        outward: [of the distance to the estimate] longest step outward. Halved: more profiles a bound.
        nudge: [of a level's precision] where a profile starts a coordinate that is zero, for its slope is
            zero there. Halved: slower starts.
    """

    found: float = 1e-08
    enough: float = 1e-17
    stalled: float = 1e-13
    stall_ratio: float = 4.0
    correct_below: float = 1e-05
    skip_correction: float = 1e-08
    slack: float = 1e-12
    end_below: float = 1e-05
    end_slack: float = 1e-10
    least_eigenvalue: float = 1e-10
    reach: tuple[float, float] = (1.0, 2.0)
    trust_shrink: float = 4.0
    trust_grow: float = 3.0
    least_trust: float = 0.001
    halvings: int = 0
    patience: int = 25
    exact_after: int = 50
    limit: int = 150
    steep_null: float = 0.001
    null_escapes: int = 3
    saddle_slope: float = 1e-06
    saddle_curvature: float = 1e-07
    escapes: int = 10
    sizes: tuple[float, ...] = (1.0, 0.1, 0.01, 0.001)
    gain: float = 1e-09
    negligible: float = 1e-09
    suspect: float = 0.001
    null_multiplier: float = 1e-09
    multiplier: float = 1e-06
    complementarity: float = 1e-06
    flat: float = 1e-09
    em_opening: int = 25
    rounds: int = 3
    round_gain: float = 1e-10
    spent: float = 1e-14
    vanished: float = 1e-10
    bound: float = 1e-11
    profiles: int = 60
    elsewhere: float = 1e-07
    better: float = 1e-05
    outward: float = 4.0
    nudge: float = 0.1


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
    """The three sets of rules as a Markdown table: values, and what the docstring of `Rules` says of each."""
    said = dict(_said())
    head = ["rule", "fit", "profile", "batch", "unit", "what it is", "halved"]
    rows = [head, ["---"] * len(head)]
    for rule in fields(Rules):
        values = [getattr(rules, rule.name) for rules in (SEARCH, PROFILE, BATCH)]
        rows.append([f"`{rule.name}`", *map(_shown, values), *said[rule.name]])
    return (
        "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows) + "\n"
    )


def _said() -> list[tuple[str, tuple[str, str, str]]]:
    """Name, and (unit, what it is, what halving does) of every rule in the docstring of `Rules`."""
    text = re.sub(r"\s+", " ", inspect.getdoc(Rules) or "")
    found = re.findall(r"(\w+): \[(.+?)\] (.+?)\. Halved: (.+?)\.(?= \w+: \[|$)", text)
    return [(name, (unit, what, halved)) for name, unit, what, halved in found]


def _shown(value: float | tuple[float, ...]) -> str:
    return ", ".join(f"{v:g}" for v in value) if isinstance(value, tuple) else f"{value:g}"
