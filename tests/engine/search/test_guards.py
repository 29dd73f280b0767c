"""Each guard of the search where it decides: take it out, or turn its sign, and a test fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine.search.test_search import random_problem

from lmmkit.engine.covariance.structures import Unstructured
from lmmkit.engine.problem import Problem, Term
from lmmkit.engine.rules import SEARCH
from lmmkit.engine.search.newton import Newton, minimise
from lmmkit.engine.search.profiled_deviance import ProfiledDeviance
from lmmkit.engine.search.search import Objective, Search, corrected, newton_direction
from lmmkit.engine.setup import set_up
from lmmkit.engine.solve import solve
from lmmkit.errors import FitError

GROUPS, ROWS = 6, 10


def one_way(ratio, seed=1):
    """A balanced one-way layout whose mean square between is `ratio` times the one within."""
    rng = np.random.default_rng(seed)
    within = rng.normal(size=(GROUPS, ROWS))
    within -= within.mean(axis=1, keepdims=True)
    between = rng.normal(size=GROUPS)
    between -= between.mean()
    square = np.sum(within**2) / (GROUPS * (ROWS - 1))
    between *= np.sqrt(ratio * square * (GROUPS - 1) / ROWS / np.sum(between**2))
    codes = np.repeat(np.arange(GROUPS), ROWS)
    y = (within + between[:, None]).ravel() + 5.0
    constant = np.broadcast_to(1.0, len(y))
    return Problem((constant,), (0,), y, (Term(0, codes, GROUPS, (0,), Unstructured(1)),))


def steps(solution):
    """What brought the search to each of its points."""
    return [line.step for line in solution.search.history]


# Saddles


def test_a_search_that_begins_at_the_saddle_of_zero_leaves_it():
    problem, zero = one_way(3.0), (np.zeros((1, 1)),)
    found = solve(problem, start=zero)
    assert steps(found)[:2] == ["start", "escape"]
    assert found.deviance == pytest.approx(solve(problem).deviance, abs=1e-10)
    assert found.factors[0][0, 0] == pytest.approx(np.sqrt(2.0 / ROWS), rel=1e-8)
    assert all(check.passed for check in found.checks)


def test_without_leave_to_escape_it_stays_and_the_certificate_names_the_multiplier():
    found = solve(one_way(3.0), start=(np.zeros((1, 1)),), rules=replace(SEARCH, escapes=0))
    assert found.converged
    assert found.factors[0][0, 0] == 0.0
    assert [check.name.split(":")[0] for check in found.checks if not check.passed] == ["multipliers"]


def test_the_limit_bounds_all_steps_whatever_saddles_are_left():
    found = solve(one_way(3.0), start=(np.zeros((1, 1)),), limit=2)
    assert steps(found) == ["start", "escape"]
    assert not found.converged


def test_a_search_at_the_optimum_of_zero_does_not_leave_it():
    found = solve(one_way(0.5), start=(np.zeros((1, 1)),))
    assert steps(found) == ["start"]
    assert found.null_directions == (1,)
    assert found.evaluations == 1


def test_two_saddles_are_left_one_after_the_other():
    """A plane of zeros in two terms: each escape widens one."""
    one, two = one_way(3.0), one_way(4.0, seed=2)
    order = np.random.default_rng(3).permutation(GROUPS * ROWS)
    terms = (one.terms[0], replace(one.terms[0], factor=1, codes=one.terms[0].codes[order]))
    problem = replace(one, response=one.response + two.response[order], terms=terms)
    found = solve(problem, start=(np.zeros((1, 1)),) * 2)
    assert steps(found).count("escape") == 2
    assert found.deviance == pytest.approx(solve(problem).deviance, abs=1e-9)


# Null directions


def test_a_variance_too_small_to_be_seen_in_the_deviance_is_kept_where_its_multiplier_is_negative():
    """Zeroing it costs 2e-10 of deviance, less than 1e-9; but at zero the deviance falls into the cone."""
    found = solve(one_way(1.0 + 1e-5))
    assert found.null_directions == (0,)
    assert found.factors[0][0, 0] == pytest.approx(np.sqrt(1e-5 / ROWS), rel=1e-3)


def test_with_the_mean_squares_the_other_way_round_it_is_zero():
    found = solve(one_way(1.0 - 1e-5))
    assert found.null_directions == (1,)
    assert found.factors[0][0, 0] == 0.0


# Damping, on functions that are known


class Known(Objective):
    """A function of one variable with its derivatives."""

    def __init__(self, value, slope, bend, domain=(-np.inf, np.inf)):
        self.parts, self.domain, self.asked = (value, slope, bend), domain, []

    def evaluate(self, theta):
        x = float(theta[0])
        self.asked.append(x)
        if not self.domain[0] < x < self.domain[1]:
            raise FitError("outside")
        return At(x, *(part(x) for part in self.parts))


class At:
    """Such a function at one place."""

    L = ()

    def __init__(self, x, value, slope, bend):
        self.theta, self.deviance = np.array([x]), value
        self.gradient, self.hessian = np.array([slope]), np.array([[bend]])


def bowl():
    return Known(lambda x: 1.0 + x**2, lambda x: 2.0 * x, lambda x: 2.0)


def valley():
    """log cosh: Newton's step overshoots ever further from |x| > 1.09."""
    return Known(lambda x: np.log(np.cosh(x)), np.tanh, lambda x: np.cosh(x) ** -2)


def searched(objective, x, **rules):
    found = minimise(objective, np.array([x]), replace(SEARCH, **rules))
    return found, [line.step for line in found.history]


def test_a_quadratic_takes_one_step():
    found, names = searched(bowl(), 0.9)
    assert found.converged
    assert names == ["start", "newton"]
    assert found.evaluations == 2


def test_no_step_is_longer_than_its_reach():
    objective = bowl()
    searched(objective, 9.0, reach=(1.0, 0.25))
    assert objective.asked[1] == pytest.approx(9.0 - 0.25 * 9.0)
    objective = bowl()
    searched(objective, 9.0, reach=(1.0, 0.0))
    assert objective.asked[1] == pytest.approx(8.0)


def test_a_step_that_raises_the_deviance_is_halved_until_it_does_not():
    objective = valley()
    found, names = searched(objective, 1.5, halvings=5, reach=(100.0, 2.0))
    step = np.tanh(1.5) * np.cosh(1.5) ** 2
    assert objective.asked[1:3] == pytest.approx([1.5 - step, 1.5 - step / 2])
    assert found.converged
    assert abs(found.point.theta[0]) < 1e-6
    assert set(names) == {"start", "newton"}


def test_a_step_that_leaves_the_domain_is_halved_too():
    objective = Known(lambda x: x - np.log(x), lambda x: 1 - 1 / x, lambda x: x**-2, domain=(0.0, np.inf))
    found, _ = searched(objective, 4.0, halvings=5, reach=(100.0, 2.0))
    assert min(objective.asked) < 0.0
    assert found.point.theta[0] == pytest.approx(1.0, abs=1e-8)


def test_where_no_halving_helps_the_exact_hessian_is_taken():
    """An average information that is a thousand times too small, and of the wrong sign of nothing else."""
    objective = Known(lambda x: x**4 + x**2, lambda x: 4 * x**3 + 2 * x, lambda x: 1e-4)
    found, names = searched(objective, 1.0, halvings=2, reach=(1e9, 2.0), limit=40)
    assert "stuck" in names
    assert found.converged
    assert found.exact


class WithSafeStep(Known):
    """The valley with a step that always goes down."""

    def fallback(self, point):
        return 0.5 * point.theta


def test_a_rejected_step_is_replaced_by_the_safe_one_and_trusted_less():
    known = valley()
    objective = WithSafeStep(*known.parts)
    _, names = searched(objective, 2.0, reach=(100.0, 0.0))
    step = min(100.0, np.tanh(2.0) * np.cosh(2.0) ** 2)
    assert names[1] == "em"
    assert objective.asked[1:3] == pytest.approx([2.0 - step, 1.0])
    following = np.tanh(1.0) * np.cosh(1.0) ** 2
    assert objective.asked[3] == pytest.approx(1.0 - min(step / SEARCH.trust_shrink, following))


def test_trust_recovers_three_fold_at_a_time():
    """After a rejected step of 100 x the reach, each success triples the longest step."""
    objective = WithSafeStep(lambda x: abs(x), lambda x: np.sign(x), lambda x: 1e-9)
    objective.domain = (0.0, np.inf)
    searched(objective, 64.0, reach=(8.0, 0.0), limit=6, enough=-1.0, least_trust=1e-3)
    moves = -np.diff(objective.asked)
    assert moves[:3] == pytest.approx([8.0, 8.0, 8.0])
    objective = WithSafeStep(lambda x: abs(x), lambda x: np.sign(x), lambda x: 1e-9)
    objective.domain = (0.0, np.inf)
    searched(objective, 4.0, reach=(8.0, 0.0), limit=4, enough=-1.0)
    # 4 - 8 leaves the domain; the safe step halves to 2; then 8 / 4 = 2 leaves it as well, and so on
    assert objective.asked[:4] == pytest.approx([4.0, -4.0, 2.0, 0.0])


def test_rounding_is_not_a_rise():
    """Near the end a step may raise the deviance by 1e-10 of it, before by 1e-12."""
    noise = {0.0: 0.0}

    def value(x):
        return 1e3 + x**2 + noise.get(round(x, 12), 0.0)

    for rise, taken in ((0.5e-7, True), (2e-7, False)):
        noise[0.0] = rise
        objective = Known(value, lambda x: 2.0 * x, lambda x: 2.0)
        found, names = searched(objective, 1e-4, halvings=0)  # decrement 2e-8, below 1e-5
        assert ("newton" in names) == taken == found.converged
    noise[0.0] = 1.0 + 0.5e-7
    objective = Known(value, lambda x: 2.0 * x, lambda x: 2.0)
    _, names = searched(objective, 1.0, halvings=0, limit=2)
    assert names[1] == "stuck"


def test_a_step_that_rounding_rejects_at_the_optimum_ends_the_search():
    """The decrement, 5e-9, is below `found`: no exact Hessian is asked for."""
    objective = Known(lambda x: 1e3 + x**2 + (2e-7 if x == 0 else 0), lambda x: 2.0 * x, lambda x: 2.0)
    found, names = searched(objective, 0.5e-4)
    assert found.converged
    assert names == ["start"]
    assert objective.asked == [0.5e-4, 0.0]


@pytest.mark.parametrize(("share", "ends"), [(0.99, True), (1.01, False)])
def test_no_search_ends_where_newtons_step_is_long_in_the_units_of_a_residual_coordinate(share, ends):
    class Far(Known):
        def length(self, point, step):
            return share * SEARCH.still

    flat = Far(*bowl().parts)
    assert searched(flat, 0.0, limit=3)[0].converged == ends
    stopped = Search(flat, flat.evaluate(np.zeros(1)), SEARCH)
    assert stopped.arrive(stopped.point, "em") == stopped.converged == ends
    rejected = Far(lambda x: 1e3 + x**2 + (2e-7 if x == 0 else 0), lambda x: 2.0 * x, lambda x: 2.0)
    assert searched(rejected, 0.5e-4, limit=3)[0].converged == ends


def test_an_algorithm_has_arrived_where_the_decrement_is_below_found_and_not_before():
    for slope, arrived in ((0.99e-4, True), (1.01e-4, False)):
        here = Known(lambda x: 1.0, lambda x, g=slope: g, lambda x: 1.0)
        search = Search(here, here.evaluate(np.zeros(1)), SEARCH)
        assert search.arrive(search.point, "em") == search.converged == arrived
        assert search.history[-1].phase == ("polish" if arrived else "search")
        search.evaluate(np.zeros(1))
        assert search.evaluations == (1 if arrived else 2)


def test_the_search_ends_when_the_decrement_is_spent_or_no_longer_falls():
    falling = iter([1e-12, 1e-14, 1e-14, 1e-15, 1e-16])

    class Rounding(Known):
        def evaluate(self, theta):
            point = super().evaluate(theta)
            point.gradient, point.hessian = np.array([np.sqrt(next(falling))]), np.eye(1)
            return point

    objective = Rounding(lambda x: 1.0, lambda x: 0.0, lambda x: 1.0)
    found, names = searched(objective, 0.0, correct_below=0.0)
    assert found.converged
    assert len(names) == 3
    assert found.decrement == pytest.approx(1e-14)


def test_above_rounding_a_decrement_that_does_not_fall_is_no_end():
    constant = Known(lambda x: 1.0, lambda x: 1e-5, lambda x: 1.0)
    found, names = searched(constant, 0.0, limit=8, correct_below=0.0)
    assert not found.converged
    assert len(names) == 8


def test_after_its_patience_a_search_is_written_anew_then_given_the_exact_hessian():
    class Crawling(Known):
        reorderings = 0

        def reordered(self, point):
            self.reorderings += 1
            return self, point.theta

    objective = Crawling(lambda x: x**2, lambda x: 2 * x, lambda x: 2e3)
    found, names = searched(objective, 1.0, patience=4, exact_after=9, correct_below=0.0)
    assert objective.reorderings == 1
    assert names.index("reorder") == 4
    assert [line.phase for line in found.history][8:10] == ["reordered", "exact hessian"]
    assert found.converged
    assert len(names) < 15


def test_patience_begins_anew_where_a_saddle_is_left():
    class Held(Known):
        def off_saddle(self, point):
            if point.theta[0] == 5.0:
                yield np.array([6.0])  # higher
                yield np.array([1.0])

        def reordered(self, point):
            return self, point.theta

    held = Held(lambda x: x**2, lambda x: 0.0 if x == 5.0 else 2 * x, lambda x: 2e3)
    _, names = searched(held, 5.0, patience=4, correct_below=0.0, limit=12)
    assert names[1] == "escape"
    assert names.index("reorder") == 5


class Skewed(Objective):
    """A quadratic of three coordinates, whose Hessian is told wrongly, in units of their own."""

    A = np.array([[2.0, 0.5, 0.1], [0.5, 1.0, 0.3], [0.1, 0.3, 3.0]])
    drifting = True

    def evaluate(self, theta):
        point = At(0.0, 1.0 + theta @ self.A @ theta / 2.0, 0.0, 0.0)
        point.theta, point.gradient, point.hessian = theta, self.A @ theta, np.diag([3.0, 2.0, 4.0])
        return point

    @property
    def drifts(self):
        return self.drifting


def test_corrections_are_kept_from_step_to_step_where_the_hessian_drifts():
    """Symmetric rank-one corrections know a quadratic of three coordinates after three steps."""
    rules = replace(SEARCH, keep_below=1e9, correct_below=1e9)
    counts = []
    for drifting in (True, False):
        objective = Skewed()
        objective.drifting = drifting
        found = minimise(objective, np.array([0.3, -0.2, 0.1]), rules)
        assert found.converged
        counts.append(len(found.history))
    assert counts[0] <= 6 < counts[1]


def test_each_kind_of_hessian_is_corrected_below_a_decrement_of_its_own():
    for drifting, below in ((True, SEARCH.keep_below), (False, SEARCH.correct_below)):
        objective = Skewed()
        objective.drifting = drifting
        point, before = objective.evaluate(np.ones(3)), objective.evaluate(np.array([1.0, 2.0, 0.0]))
        newton = Newton(objective, point, SEARCH, previous=(before.theta, before.gradient))
        newton.error, newton.decrement = np.eye(3), 1.01 * below
        np.testing.assert_array_equal(newton.curvature(), point.hessian)
        assert newton.error is None
        newton.decrement = 0.99 * below
        step = point.theta - before.theta
        np.testing.assert_allclose(newton.curvature() @ step, objective.A @ step, atol=1e-12)


@pytest.mark.parametrize(
    ("first", "centre", "held"),
    [(0.0, -0.3, True), (0.0, 0.3, False), (0.1, -0.3, False)],
    ids=["at zero and downhill is below it", "at zero and downhill is above it", "above zero"],
)
def test_a_step_is_newtons_in_any_units_and_leaves_out_what_may_not_move(first, centre, held):
    class Bounded(Skewed):
        def units(self, point):
            return np.array([1.0, 1e3, 1e-2])

        @property
        def bounded(self):
            return np.array([True, False, False])

    objective, theta, least = Bounded(), np.array([first, 0.4, 0.1]), np.array([centre, 0.2, 0.7])
    point = objective.evaluate(theta)
    point.gradient = objective.A @ (theta - least)
    expected = least - theta
    if held:
        expected = np.append(0.0, -np.linalg.solve(objective.A[1:, 1:], point.gradient[1:]))
    step, decrement = Search(objective, point, SEARCH).towards(objective.A, point.gradient)
    np.testing.assert_allclose(step, expected, atol=1e-12)
    assert decrement == pytest.approx(-expected @ point.gradient)
    np.testing.assert_array_equal(objective.nearest(np.array([-1.0, -1.0, 1.0])), [0.0, -1.0, 1.0])


def test_in_other_coordinates_the_past_is_forgotten():
    class Turned(Known):
        def reordered(self, point):
            return self, point.theta

    newton = Newton(Turned(*bowl().parts), bowl().evaluate(np.ones(1)), SEARCH)
    newton.previous, newton.error = (np.ones(1), np.ones(1)), np.ones((1, 1))
    assert newton.reorder()
    assert newton.previous is newton.error is None
    assert newton.phase == "reordered"


def test_a_correction_by_next_to_nothing_is_left_out():
    H, s = np.eye(2), np.array([2.0, 0.0])
    for share, kept in ((0.9, False), (1.1, True)):
        v = np.array([share * SEARCH.skip_correction, 1.0])
        found = corrected(H, s, H @ s + v, SEARCH.skip_correction)
        np.testing.assert_allclose(found, H + np.outer(v, v) / (v @ s) if kept else H)


def test_the_correction_makes_the_end_superlinear():
    """A Hessian 10 % off converges by a factor of ten a step; corrected it is exact after one."""
    objective = Known(lambda x: x**2, lambda x: 2 * x, lambda x: 2.2)
    corrected, with_it = searched(objective, 1e-3)
    _, without = searched(objective, 1e-3, correct_below=0.0)
    assert corrected.converged
    assert len(with_it) <= 4 < 7 <= len(without)


def test_newton_direction_goes_down_along_negative_curvature_and_floors_flat_ones():
    H, g = np.diag([2.0, -4.0, 0.0]), np.array([2.0, 4.0, 1.0])
    step, decrement = newton_direction(H, g, 1e-10)
    np.testing.assert_allclose(step, [-1.0, -1.0, -1.0 / 4e-10])
    assert decrement == pytest.approx(2.0 + 4.0 + 1.0 / 4e-10)


def test_a_rejected_step_may_leave_a_null_direction_three_times():
    """Where the deviance falls steeply off a zero, before the safe step is taken."""

    class Held(WithSafeStep):
        offered = 0

        def off_null(self, point):
            self.offered += 1
            yield point.theta * 2.0  # higher
            yield point.theta * 0.99

    objective = Held(*valley().parts)
    found, names = searched(objective, 3.0, reach=(1e9, 0.0), trust_shrink=1e-9)
    assert names[1:5] == ["escape", "escape", "escape", "em"]
    assert objective.offered == 3
    assert found.converged


def test_a_way_is_taken_that_gains_more_than_rounding_and_the_past_is_forgotten():
    for gained, taken in ((0.9, False), (1.1, True)):
        values = {0.0: 1.0, 1.0: 1.0 - gained * SEARCH.gain, 2.0: 1.0}
        objective = Known(values.get, lambda x: 0.0, lambda x: 1.0)
        newton = Newton(objective, objective.evaluate(np.zeros(1)), SEARCH)
        newton.previous, newton.error = (np.ones(1), np.ones(1)), np.ones((1, 1))
        assert newton.leave_by(iter([np.full(1, 2.0), np.ones(1)])) == taken
        assert newton.point.theta[0] == newton.escapes == taken
        assert (newton.previous is None) == (newton.error is None) == taken


def test_no_step_is_trusted_that_is_as_long_as_a_rejected_one_in_its_units():
    class Held(WithSafeStep):
        def off_null(self, point):
            yield point.theta * 0.99

        def units(self, point):
            return np.array([2.0])

    for tries, name in ((1, "escape"), (0, "em")):
        objective = Held(*valley().parts)
        rules = replace(SEARCH, reach=(100.0, 0.0), null_escapes=tries)
        newton = Newton(objective, objective.evaluate(np.array([2.0])), rules)
        step, newton.decrement = newton.direction()
        assert newton.advance(step) == name
        assert newton.trust == pytest.approx(abs(step[0]) / 2.0 / 100.0 / SEARCH.trust_shrink)
    newton.shorten(1e-9, 100.0)
    assert newton.trust == SEARCH.least_trust


# The whole search, on models that do not arrive without one of its guards

NEVER = 10**9
NEEDS = {
    "other coordinates where a leading pivot is zero": (142, {"patience": NEVER}, 50),
    "the exact Hessian where average information crawls": (39, {"exact_after": NEVER}, SEARCH.limit),
    "steps no longer than a rejected one": (136, {"trust_shrink": 1.0}, 50),
}


@pytest.mark.parametrize("guard", NEEDS)
def test_a_model_arrives_with_the_guard_and_not_without(guard):
    seed, without, limit = NEEDS[guard]
    problem, reml = random_problem(seed), seed % 2 == 0
    found = solve(problem, reml=reml, limit=limit)
    assert found.converged
    assert all(check.passed for check in found.checks)
    assert not solve(problem, reml=reml, limit=limit, rules=replace(SEARCH, **without)).converged


def test_a_model_whose_newton_steps_are_rejected_arrives_by_the_em_step(monkeypatch):
    problem = random_problem(10)
    found = solve(problem)
    assert "em" in steps(found)
    assert found.evaluations <= 12
    monkeypatch.setattr(ProfiledDeviance, "fallback", lambda self, point: None)
    without = solve(problem)
    assert not without.converged
    assert without.deviance > found.deviance + 1.0


def test_a_model_held_by_a_null_direction_is_let_go_before_it_has_converged():
    found = solve(random_problem(136))
    assert "escape" in steps(found)
    assert found.evaluations <= 15
    assert solve(random_problem(136), rules=replace(SEARCH, null_escapes=0)).evaluations > 20


def test_moves_off_a_null_direction_are_offered_where_the_deviance_falls_steeply_alone():
    setup = set_up(one_way(3.0), reml=True)
    objective = ProfiledDeviance(setup.criterion, setup.scale, SEARCH)
    zero = objective.evaluate(np.zeros(1))
    offered = [objective.evaluate(theta).deviance for theta in objective.off_null(zero)]
    assert len(offered) == len(SEARCH.sizes)
    assert min(offered) < zero.deviance
    best = solve(one_way(3.0)).optimum.state
    assert list(objective.off_null(best)) == []
    assert list(objective.off_saddle(best)) == []
    for ratio, off_saddle in ((0.5, 0), (1.0 + 1e-7, 0), (1.0 + 1e-5, len(SEARCH.sizes))):
        calm = set_up(one_way(ratio), reml=True)
        objective = ProfiledDeviance(calm.criterion, calm.scale, SEARCH)
        zero = objective.evaluate(np.zeros(1))
        assert list(objective.off_null(zero)) == []
        assert len(list(objective.off_saddle(zero))) == off_saddle


def test_columns_are_written_by_falling_variance_and_the_deviance_stays():
    problem = random_problem(142)
    setup = set_up(problem, reml=True)
    objective = ProfiledDeviance(setup.criterion, setup.scale, SEARCH)
    theta = np.random.default_rng(1).normal(size=setup.layout.count)
    point = objective.evaluate(theta)
    other, place = objective.reordered(point)
    again = other.evaluate(place)
    assert again.deviance == pytest.approx(point.deviance, abs=1e-9)
    for factor, L, s in zip(again.criterion.layout.factors, again.L, setup.scale, strict=True):
        for columns, structure in factor.structure.parts:
            size = [(L[c] ** 2).sum() * s[c] ** 2 for c in columns]
            assert structure.closed != "any" or size == sorted(size, reverse=True)
