"""Every threshold of the searches, in frozen tables.

Three searches share them: the fit (`SEARCH`), the profile of one parameter (`PROFILE`), and many replicates
at once (`BATCH`); each has the rules that it reads, and no others. `table` prints all; docs/search-rules.md
is that table.

The decrement is g'|H|^-1 g, twice the fall that Newton's quadratic model promises.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class CommonRules:
    """Thresholds that every search reads.

    Attributes:
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
        limit: [steps] of the search in all, after which it has not converged. Halved: some hard fits do not
            converge.
        exact: [of y'V^-1y] a residual sum of squares below this is rounding, and the deviance has no end.
            Halved: as rounding allows.
    """

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
    limit: int = 150
    exact: float = 1e-13


@dataclass(frozen=True)
class BatchRules(CommonRules):
    """What the searches from a start of their own read beside: the fit, and many replicates at once.

    Attributes:
        floor: [of a level's precision] least variance of a start, in any direction. Halved: starts nearer to
            the boundary, where steps are short.
        negligible: [deviance] a direction of T is null when the deviance without it is no higher than this.
            Halved: variances of 1e-10 are reported that are zeros.
        suspect: [of a typical row's variance] eigenvalues of scaled T below this are tried for null. Halved:
            as `negligible`, in small levels.
        null_multiplier: [deviance per level] a null direction's multiplier may be no lower than minus this.
            Halved: as rounding allows.
        multiplier: [deviance per level] the certificate's bound on multipliers. Halved: rounding fails some
            certificates.
    """

    floor: float = 0.25
    negligible: float = 1e-09
    suspect: float = 0.001
    null_multiplier: float = 1e-09
    multiplier: float = 1e-06


@dataclass(frozen=True)
class Rules(CommonRules):
    """What Newton's method reads beside.

    Attributes:
        found: [deviance] decrement at which the search is over; what follows is polishing, not counted.
            Halved: one evaluation more is counted in about half the fits.
        keep_below: [deviance] the same where coordinates of R move, whose average information is further off;
            there the corrections are kept from step to step. Halved: more linear steps.
        halvings: [steps] times that a rejected step is halved before anything else is tried. Halved: narrow
            valleys of a profile are given up.
        patience: [steps] from the start, or from the last saddle left, after which the columns are reordered:
            a zero leading pivot makes the search crawl. Halved: more fits are restarted that would have
            arrived.
        exact_after: [steps] counted in the same way, after which the exact Hessian replaces average
            information. Halved: 2 m evaluations a step, earlier.
        difference: [of a coordinate, at least of 0.1] step of the differences of gradients that make an exact
            Hessian. Halved: its error grows by rounding, from some 1e-8.
        null_escapes: [times] that a rejected step may leave a null direction. Halved: saddles are left later,
            by EM.
        escapes: [times] that a search goes on from a saddle. Halved: models of many terms may stay at one.
        sizes: [scaled T] how far the ways off a saddle are tried, the first that gains is taken. Halved:
            wells beyond are passed over.
        gain: [deviance] what a way off a saddle must gain. Halved: rounding may look like a gain.
        still: [unit of a residual coordinate] Newton's step is shorter at an optimum, in each. Halved: as
            rounding allows.
        long: [unit of a residual coordinate] a step beyond is a long one. Halved: flat but regular optima are
            looked at more closely.
        faded: [deviance] decrement below which a long step tells of a parameter that runs away. Halved: it is
            seen one step later.
        fading: [steps] of that kind in a row, after which the search looks where they lead. Halved: more
            looks, some for nothing.
        far: [steps] how far it looks: lower there still, and it has no end. Halved: as `fading`.
    """

    found: float = 1e-08
    keep_below: float = 0.1
    halvings: int = 0
    patience: int = 25
    exact_after: int = 50
    difference: float = 0.0001
    null_escapes: int = 3
    escapes: int = 10
    sizes: tuple[float, ...] = (1.0, 0.1, 0.01, 0.001)
    gain: float = 1e-09
    still: float = 1e-03
    long: float = 0.3
    faded: float = 1e-02
    fading: int = 3
    far: float = 4.0


@dataclass(frozen=True)
class FitRules(Rules, BatchRules):
    """What the fit, and its other algorithms, read beside.

    Attributes:
        null: [scaled T] an eigenvalue below this is a null direction, along which a rejected step may leave.
            Halved: fewer such tries.
        steep_null: [deviance per level] a rejected step leaves a null direction of T along which the deviance
            falls by more. Halved: more such tries, some for nothing.
        saddle_slope: [deviance per level] at a stationary point a multiplier below minus this is a way down.
            Halved: more tries that gain less than `gain`.
        complementarity: [deviance per level] the certificate's bound on |L'DL|. Halved: as above.
        flat: [of the largest] the certificate's bound on negative curvature. Halved: as above.
        em_opening: [steps] EM steps before Newton's in `em-newton`, as in nlme. Halved: nothing to see.
        rounds: [runs] a quasi-Newton search is started again while it gains. Halved: line searches that fail
            on rounding end it.
        round_gain: [deviance] what such a run must gain. Halved: as rounding allows.
        spent: [deviance] decrement at which a quasi-Newton search is stopped. Halved: a few more iterations.
        slope: [deviance per coordinate] largest slope at which scipy ends a quasi-Newton run. Halved: as
            `spent`.
        memory: [steps] that L-BFGS-B remembers. Halved: more iterations in models of many parameters.
        wall: [deviance] what a quasi-Newton search is told where there is no deviance. Halved: nothing to
            see.
        halvings_alone: [steps] `halvings` where there is no EM step, in coordinates of the residuals. Halved:
            narrow valleys are given up.
        fixed_point: [of the largest fitted value] change of the fitted values at which variances that are a
            power of them are found. Halved: one more round.
        fixed_point_rounds: [rounds] for it at most. Halved: strong powers are given up.
        vanished: [of the response's variance] residual variance that a search without an end has run to.
            Halved: such models are called not converged in place of refused.
    """

    null: float = 1e-06
    steep_null: float = 0.001
    saddle_slope: float = 1e-06
    complementarity: float = 1e-06
    flat: float = 1e-09
    em_opening: int = 25
    rounds: int = 3
    round_gain: float = 1e-10
    spent: float = 1e-14
    slope: float = 1e-09
    memory: int = 20
    wall: float = 1e100
    halvings_alone: int = 29
    fixed_point: float = 1e-10
    fixed_point_rounds: int = 200
    vanished: float = 1e-10


@dataclass(frozen=True)
class ProfileRules(Rules):
    """What the profile of a parameter, and the search for its bounds, read beside.

    Attributes:
        saddle_curvature: [of the largest] a profile's point with an eigenvalue below minus this is a saddle.
            Halved: tries along rounding.
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

    saddle_curvature: float = 1e-07
    bound: float = 1e-11
    profiles: int = 60
    elsewhere: float = 1e-07
    better: float = 1e-05
    outward: float = 4.0
    nudge: float = 0.1


SEARCH = FitRules()
# Its bounds are roots: the deviance must be exact to their digits, but not theta. No EM step: it halves.
PROFILE = ProfileRules(
    enough=1e-13,
    stalled=1e-11,
    correct_below=1e-3,
    halvings=29,
    exact_after=20,
    sizes=(1.0, 0.1, 0.01),
)
# One step more for all replicates would cost more than its digits are worth; what crawls is left to the fit.
BATCH = BatchRules(enough=1e-16, stalled=1e-12, limit=30)


def table() -> str:
    """The rules as a Markdown table: values where a search reads them, and what is said of each above."""
    rows = [["rule", "fit", "profile", "batch", "unit", "what it is", "halved"], ["---"] * 7]
    for kind in (CommonRules, BatchRules, Rules, FitRules, ProfileRules):
        # Name, unit, what it is and what halving does, of each rule in the docstring.
        text = re.sub(r"\s+", " ", inspect.getdoc(kind) or "")
        said = re.findall(r"(\w+): \[(.+?)\] (.+?)\. Halved: (.+?)\.(?= \w+: \[|$)", text)
        for name, *words in said:
            values = (_shown(getattr(rules, name, ())) for rules in (SEARCH, PROFILE, BATCH))
            rows.append([f"`{name}`", *values, *words])
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)


def _shown(value: float | tuple[float, ...]) -> str:
    return ", ".join(f"{v:g}" for v in value) if isinstance(value, tuple) else f"{value:g}"
