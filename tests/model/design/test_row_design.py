"""Residuals that fade and variances that follow numbers, on the rows of a table: what is made and refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lmmkit.engine.crossproducts.whitening import LARGEST_SUBJECT
from lmmkit.errors import DataError, FormulaError, LmmkitError
from lmmkit.model.design.design import build_design, design_from_dict
from lmmkit.model.design.residual_design import RowDesign
from lmmkit.model.table.columns import open_table
from lmmkit.model.table.evaluate import Evaluator


@pytest.fixture
def rats() -> pd.DataFrame:
    """Six rats at uneven days, their rows shuffled; places in a field; a dose above zero."""
    rng = np.random.default_rng(4)
    days = [1.0, 2.0, 4.5, 9.0]
    frame = pd.DataFrame(
        [(f"r{i}", day) for i in range(6) for day in days[: 4 - i % 2]], columns=["rat", "day"]
    )
    frame["sex"] = np.where(frame["rat"].isin(["r0", "r1", "r2"]), "f", "m")
    frame["dose"] = rng.uniform(0.5, 3.0, len(frame))
    frame["east"], frame["north"] = rng.normal(size=(2, len(frame)))
    frame["y"] = rng.normal(size=len(frame)) + frame["day"]
    return frame.sample(frac=1.0, random_state=1).reset_index(drop=True)


def structured(residual: str, data: Any, formula: str = "y ~ day") -> RowDesign:
    found = build_design(formula, data, residual=residual).residual
    assert isinstance(found, RowDesign)
    return found


def refusal(residual: str, data: Any, kind: type[LmmkitError] = DataError, formula: str = "y ~ day") -> str:
    with pytest.raises(kind) as caught:
        build_design(formula, data, residual=residual)
    return str(caught.value)


@pytest.mark.parametrize(
    ("residual", "names"),
    [
        ("car1(day | rat)", ("range",)),
        ("ident(sex) * car1(day | rat)", ("ratio.m", "range")),
        ("power(dose)", ("power",)),
        ("exp(dose) * car1(day | 1)", None),
        ("power(fitted) * car1(day | rat)", ("power", "range")),
        ("expsp(east, north | rat)", ("range",)),
        ("expsp(east, north | 1, nugget=TRUE)", ("range", "nugget")),
        ("power(dose) * cs(1 | rat)", ("power", "rho")),
        ("exp(dose) * toep(1 | rat)", ("exp", "rho.1", "rho.2", "rho.3")),
    ],
)
def test_the_parameters_are_named(rats: pd.DataFrame, residual: str, names: tuple[str, ...] | None) -> None:
    if names is None:  # all rows are one series, and days come again
        assert "The group has two rows at day" in refusal(residual, rats)
        return
    assert structured(residual, rats).names == names


def test_rows_may_stand_in_any_order(rats: pd.DataFrame) -> None:
    found = structured("car1(day | rat)", rats).arrays
    assert found.times is not None
    np.testing.assert_array_equal(found.times, rats["day"])
    np.testing.assert_array_equal([found.named(int(code)) for code in found.subjects], rats["rat"])
    assert (found.structure.correlation.unit, found.structure.correlation.closest) == (2.5, 1.0)  # pyright: ignore


def test_distances_in_the_plane_have_their_median_and_their_least(rats: pd.DataFrame) -> None:
    found = structured("expsp(east, north | rat)", rats)
    places = rats[["east", "north"]].to_numpy()
    apart = [
        np.linalg.norm(places[i] - places[j])
        for i in range(len(rats))
        for j in range(i)
        if rats["rat"][i] == rats["rat"][j]
    ]
    correlation: Any = found.structure.correlation
    np.testing.assert_allclose((correlation.unit, correlation.closest), (np.median(apart), min(apart)))


@pytest.mark.parametrize("column", ["day", "dose", "sex", "rat"])
def test_a_missing_value_of_the_structure_drops_its_row_into_the_ledger(
    rats: pd.DataFrame, column: str
) -> None:
    rats.loc[3, column] = None
    residual = {"day": "car1(day | rat)", "dose": "power(dose)", "sex": "ident(sex) * car1(dose | rat)"}
    design = build_design("y ~ 1", rats, residual=residual.get(column, "car1(day | rat)"))
    assert design.dropped.to_dict("records") == [{"row": 3, "reason": "missing value", "columns": column}]
    assert isinstance(design.residual, RowDesign)
    assert len(design.residual.arrays.subjects) == len(rats) - 1


def test_a_power_of_what_is_not_positive_names_the_row(rats: pd.DataFrame) -> None:
    rats.loc[[4, 7], "dose"] = [0.0, -2.0]
    rats.loc[1, "dose"] = np.nan
    found = refusal("power(dose)", rats)
    assert "`dose` is 0 in row 5 (and so once more)" in found
    assert "`exp(dose)`" in found
    assert "`log(dose)` is not a finite number" in refusal("exp(log(dose))", rats)


def test_a_number_that_does_not_vary_is_followed_by_no_variance(rats: pd.DataFrame) -> None:
    assert "`dose` is 2 in every row" in refusal("power(dose) * car1(day | rat)", rats.assign(dose=2.0))


@pytest.mark.parametrize(
    "residual", ["car1(when | rat)", "expsp(when, dose | rat)", "exp(when)", "power(when)"]
)
def test_times_that_are_text_are_refused_in_words(rats: pd.DataFrame, residual: str) -> None:
    rats["when"] = "day " + rats["day"].astype(str)
    assert "Column `when` holds text" in refusal(residual, rats)


def test_dates_are_refused_with_what_to_do(rats: pd.DataFrame) -> None:
    rats["when"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(rats["day"], unit="D")
    assert "a date to a number of days" in refusal("car1(when | rat)", rats)


def test_a_factor_is_no_time(rats: pd.DataFrame) -> None:
    assert "is a factor; numbers are expected" in refusal("car1(factor(day) | rat)", rats, FormulaError)


def test_two_rows_at_one_time_are_refused_with_the_rows(rats: pd.DataFrame) -> None:
    rats.loc[5, ["rat", "day"]] = rats.loc[2, ["rat", "day"]].to_list()
    found = refusal("car1(day | rat)", rats)
    assert f"rat {rats['rat'][2]} has two rows at day {rats['day'][2]:g}, rows 3 and 6" in found
    rats.loc[0, "y"] = np.nan  # row numbers are those of the table
    assert "rows 3 and 6" in refusal("car1(day | rat)", rats)


def test_two_rows_at_one_place_are_refused_with_the_rows(rats: pd.DataFrame) -> None:
    rats.loc[8, ["rat", "east", "north"]] = rats.loc[2, ["rat", "east", "north"]].to_list()
    for nugget in ("", ", nugget=TRUE"):
        assert "rows 3 and 9" in refusal(f"expsp(east, north | rat{nugget})", rats)


def test_groups_of_one_row_each_have_no_correlation(rats: pd.DataFrame) -> None:
    alone = rats.assign(rat=np.arange(len(rats)))
    found = refusal("car1(day | rat)", alone)
    assert (
        "no two residuals are of one group and no correlation can be estimated; groups with several" in found
    )
    found = refusal("cs(day | rat)", alone.assign(day=1))
    assert "are of one subject and no correlation can be estimated; subjects with several rows" in found


def test_a_group_beyond_memory_is_refused_in_words() -> None:
    n = LARGEST_SUBJECT + 1
    data = pd.DataFrame({"x": np.arange(n), "y": np.arange(n) % 7, "f": "north field"})
    found = refusal("expsp(x, y | f, nugget=TRUE)", data.assign(z=np.sin(data["x"])), formula="z ~ x")
    assert f"the one group has {n:,} rows" in found
    assert "0.1 GB" in found


@pytest.mark.parametrize(
    ("residual", "said"),
    [
        (
            "car1(day | rat)",
            "Residuals within rat: one variance, serial correlation that decays exponentially with",
        ),
        (
            "power(dose) * car1(day | rat)",
            "a standard deviation that follows a power of dose, serial correlation",
        ),
        (
            "expsp(east, north | 1, nugget=TRUE)",
            "Residuals: one variance, correlation that decays exponentially with "
            "the distance in east, north and a nugget that no two rows share.",
        ),
        ("exp(dose)", "Residuals: a standard deviation that grows exponentially with dose, no correlation."),
        ("power(fitted)", "follows a power of the fitted values (pseudo-likelihood), no correlation."),
        (
            "exp(dose) * cs(1 | rat)",
            "with dose, one correlation for all pairs of visits, the visits being the order",
        ),
    ],
)
def test_a_structure_is_said_in_words(rats: pd.DataFrame, residual: str, said: str) -> None:
    assert said in structured(residual, rats).words


def test_a_variance_that_follows_the_fit_is_called_pseudo_likelihood(rats: pd.DataFrame) -> None:
    (notice,) = structured("power(fitted)", rats).notices
    assert "pseudo-likelihood" in notice
    assert "compared with no other model's" in notice


@pytest.mark.parametrize(
    "residual",
    ["ident(sex) * car1(day | rat)", "power(log(dose + 1)) * expsp(east, north | rat, nugget=TRUE)"],
)
def test_a_design_comes_back_from_plain_values(rats: pd.DataFrame, residual: str) -> None:
    first = build_design("y ~ day", rats, residual=residual)
    again = design_from_dict(first.to_dict(), rats).residual
    assert isinstance(first.residual, RowDesign)
    assert isinstance(again, RowDesign)
    assert again.structure == first.residual.structure
    for name in ("subjects", "covariate", "times", "positions"):
        np.testing.assert_array_equal(getattr(again.arrays, name), getattr(first.residual.arrays, name))


def opened(data: pd.DataFrame) -> Evaluator:
    return Evaluator(open_table(data, list(data.columns)))


def sds(residual: str, data: pd.DataFrame, x: float) -> Any:
    """Relative standard deviations by their definition."""
    match residual.partition("(")[0]:
        case "power":
            return np.abs(data["y"] if "fitted" in residual else data["dose"]) ** x
        case "exp":
            return np.exp(x * data["dose"])
        case "ident":
            return np.where(data["sex"] == "m", np.exp(x), 1.0)
        case _:
            return np.ones(len(data))


@pytest.mark.parametrize(
    "residual",
    [
        "power(dose) * car1(day | rat)",
        "exp(dose)",
        "ident(sex) * car1(day | rat)",
        "car1(day | rat)",
        "power(fitted)",
    ],
)
def test_the_variance_of_a_row_is_that_of_its_own_columns(rats: pd.DataFrame, residual: str) -> None:
    design = structured(residual, rats)
    rho = np.array([0.7, -0.2][: design.structure.count])
    new = rats.iloc[:5].assign(dose=[1.0, 2, 3, 4, 5])
    rows = design.new_rows(opened(new), new["y"].to_numpy())
    np.testing.assert_allclose(design.variances(rho, rows), sds(residual, new, rho[0]) ** 2, rtol=1e-14)
    slopes, step = design.variance_slopes(rho, rows), 1e-6
    for k, moved in enumerate(np.eye(len(rho)) * step):
        change = (design.variances(rho + moved, rows) - design.variances(rho - moved, rows)) / (2 * step)
        np.testing.assert_allclose(slopes[:, k], change, rtol=1e-8, atol=1e-9)


def test_the_variance_of_a_row_that_the_structure_does_not_know_is_unknown(rats: pd.DataFrame) -> None:
    new = rats.iloc[:2].assign(sex=["f", "x"], dose=[1.0, -1.0])
    for residual in ("ident(sex) * car1(day | rat)", "power(dose) * car1(day | rat)"):
        design = structured(residual, rats)
        found = design.variances(np.array([0.7, 0.0]), design.new_rows(opened(new), new["y"].to_numpy()))
        assert np.isnan(found).tolist() == [False, True]


def test_rows_of_a_group_are_held_up_to_their_bound(
    rats: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmmkit.model.design.residual_design.LARGEST_SUBJECT", 4)
    assert structured("expsp(east, north | rat)", rats).names == ("range",)
    monkeypatch.setattr("lmmkit.model.design.residual_design.LARGEST_SUBJECT", 3)
    assert "rat r0 has 4 rows, whose covariance matrix" in refusal("expsp(east, north | rat)", rats)


def test_a_range_at_its_bound_and_the_correlation_of_one_unit_are_told(rats: pd.DataFrame) -> None:
    serial, plane = structured("car1(day | rat)", rats), structured("expsp(east, north | rat)", rats)
    rest = (
        "; the range is at its bound zero, where rows are independent, and the model is the one without it."
    )
    assert serial.boundary(np.array([0.0])) == "no serial correlation" + rest
    assert plane.boundary(np.array([0.0])) == "no correlation with distance" + rest
    assert serial.boundary(np.array([0.5])) == plane.boundary(np.array([0.5])) == ""
    assert structured("power(dose)", rats).boundary(np.array([0.0])) == ""
    assert serial.printed(np.array([2.0])) == {"range": 2.0, "rho": pytest.approx(np.exp(-0.5))}
    assert serial.printed(np.array([0.0])) == {"range": 0.0, "rho": 0.0}
    assert plane.printed(np.array([2.0])) == {"range": 2.0}
