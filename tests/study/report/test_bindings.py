"""Every number of every caption and alt text is a mark that holds in the run it tells of."""

from __future__ import annotations

import pandas as pd
import pytest

from lmmkit.model.report_tables.fitted_lines import FittedLines, FocusMeans
from lmmkit.model.report_tables.panels import PanelChoice
from lmmkit.study.pages.marks import Name, fill
from lmmkit.study.records.artifacts import csv_bytes, json_bytes
from lmmkit.study.report import captions
from lmmkit.study.report.read_back import prove

NAN = float("nan")
TABLES = {
    "columns": pd.DataFrame(
        [("x1", "d", 0.0, 1.0, 2.0, 3.0, 4.0), ("y2", "m2", 1.25, 2.5, 3.3, 7.25, 99.5)],
        columns=["column", "unit", "min", "lower", "median", "upper", "max"],
    ),
    "missing": pd.DataFrame({"rows": [30, 2, 1], "x1": [0, 1, 0], "y2": [0, 1, 1]}),
    "balance": pd.DataFrame(
        [("g1", 3, 2, 2.5, 7, False), ("h2", 4, 5, 5.0, 5, True)],
        columns=["group", "levels", "least", "median", "most", "balanced"],
    ),
    "focus_means": pd.DataFrame({"x": [0.5, 4.0], "mean": [2.5, 3.5], "low": 1.0, "high": 9.0}),
    "lines": pd.DataFrame({"index": [4, 5, 6], "panel": ["a", "a", "b"], "fitted": 0.5}),
    "candidates": pd.DataFrame(
        [
            ("(1 | g1)", True, True, "", 1.0),
            ("(x1 | g1)", False, False, "no 7", 0.0),
            ("x", False, True, "", NAN),
        ],
        columns=["candidate", "chosen", "singular", "error", "d_aic"],
    ),
    "design_parts": pd.DataFrame(
        [("X", 33, 2, 50), ("g1: x1", 33, 5, 33)], columns=["part", "rows", "columns", "entries"]
    ),
    "relationships": pd.DataFrame(
        [("g1", 30, 435, 17, 0.625, 1.03, 0.125, 4.4), ("h2", 5000, 4950, 9, 0.25, 1.0625, NAN, NAN)],
        columns=["group", "levels", "pairs", "related", "closest", "diagonal", "least", "largest"],
    ),
    "path": pd.DataFrame(
        {
            "phase": "search",
            "deviance": [237747.36577224132, 237733.83412751908],
            "decrement": [2.0, 1.84e-20],
        }
    ),
    "effects": pd.DataFrame(
        [("g1: x1", 1.0, 2.0), ("g1: x1", -1.0, 1.0), ("h2: x1", -3.0, -2.0)], columns=["term", "low", "high"]
    ),
    "effect_pairs": pd.DataFrame(
        {"level": ["a", "b", "c"], "g1: x1": [1.0, 3.5, 2.0], "normal:g1: x1": [-0.5, 0.1, 0.7]}
    ),
    "components": pd.DataFrame(
        [
            ("g1: x1", "g1", "x1", None, 24.7412),
            ("g1: x1 with x2", "g1", "x1", "x2", 0.5),
            ("Residual", "Residual", None, None, 3.0),
        ],
        columns=["component", "group", "var1", "var2", "sdcor"],
    ),
    "correlations": pd.DataFrame(
        [("g1", "x1", "x1", 1.0), ("g1", "x1", "x2", -0.13814)],
        columns=["block", "row", "column", "correlation"],
    ),
    "coefficients": pd.DataFrame(
        [("Intercept", 1.0, 2.0), ("x1", 1.0, 2.0), ("x2", -1.0, 1.0)], columns=["coefficient", "low", "high"]
    ),
    "algorithms": pd.DataFrame(
        [("newton", 3.6412e-9, 5, True), ("em2", 2.0, 1600, False)],
        columns=["algorithm", "above", "iterations", "converged"],
    ),
    "algorithm_steps": pd.DataFrame({"g1.x1": [1.0], "g1.x2": [2.0]}),
    "means": pd.DataFrame({"cell": ["f1: u2", "f1: v"]}),
    "cell_sds": pd.DataFrame(
        {"cell": ["Visit w1", "Visit w2"], "fitted": [3.3, 4.7], "empirical": [3.1, 4.9]}
    ),
    "cell_correlations": pd.DataFrame(
        {"pair": ["a1", "b2"], "fitted": [0.31, 0.72], "empirical": [0.3, 0.6]}
    ),
    "autocorrelation": pd.DataFrame({"lag": [1, 2], "autocorrelation": [0.3, 0.1], "low": -0.2, "high": 0.2}),
    "variogram": pd.DataFrame(
        {"distance": [1.5, 3.0], "pairs": [7, 8], "semivariance": [0.7, 1.4], "low": 0.8, "high": 1.3}
    ),
    "variance_curve": pd.DataFrame(
        {"value": [1.0, 2.0], "rows": 6, "fitted": [3.3, 4.7], "empirical": [3.1, 4.9]}
    ),
    "dropout": pd.DataFrame(
        {"pattern": ["w1, w2", "w1"], "visit w1": [0, 0], "visit w2": [0, 1], "subjects, a": [7, 2]}
    ).assign(**{"subjects, b": [4, 1]}),
    "reference_based": pd.DataFrame(
        [("m 1", -2.25, -3.5, -1.0), ("m 2", -1.125, -2.5, 0.25)],
        columns=["method", "estimate", "low", "high"],
    ),
    "tipping_point": pd.DataFrame(
        [("m1", True, 1.75, 0.625), ("m2", False, NAN, NAN)], columns=["method", "turns", "tip", "tip_sds"]
    ),
    "structures": pd.DataFrame(
        [("cs(v1 | g2)", 10.25, -2.125, True), ("un(v1 | g2)", 9.5, -2.25, False), ("iid", NAN, NAN, False)],
        columns=["structure", "aic", "estimate", "chosen"],
    ).assign(quantity="slope of x1"),
    "check_curves": pd.DataFrame(
        {"panel": ["a", "a", "b"], "value": [1.0, 5.0, 0.0], "low": -2.0, "high": 2.0}
    ),
    "interactions": pd.DataFrame(
        [
            ("f1", "u2", "h: 1", 1.5),
            ("f1", "v", "h: 1", 4.0),
            ("f1", "u2", "h: 2", 2.0),
            ("f1", "v", "h: 2", 2.25),
        ],
        columns=["group", "level", "by", "mean"],
    ).assign(family="f1 within h"),
    "profile_zeta": pd.DataFrame(
        [("g1.sd", 2.0, 1.5, 3.75), ("g1.sd", 2.0, 1.5, 3.75), ("Residual.sd", 5.0, 4.0, 6.5)],
        columns=["parameter", "estimate", "low", "high"],
    ),
    "interval_comparison": pd.DataFrame(
        [("g1.sd", "profile", 1.0, 4.0), ("g1.sd", "Wald", 1.0, 3.25), ("b", "Wald", 1.0, 2.0)],
        columns=["parameter", "method", "low", "high"],
    ),
    "shrinkage": pd.DataFrame(
        [("g1", 1.0, 7.0, 1.5, 6.0), ("g1", 3.0, 2.5, 2.5, 4.0), ("g1", NAN, NAN, 2.0, 5.0)],
        columns=["group", "x", "y", "x_model", "y_model"],
    ),
    "outliers": pd.DataFrame({"row": [58], "groups": ["g1 x2"], "studentised": [-6.0555]}),
    "pairs": pd.DataFrame({"low": [1.0, -1.0], "high": [2.0, 1.0]}),
}
FACTS = {"rows": 73421, "drawn": 4000, "outside": 3}
SHIFTS = {"shifted": 17, "of": ["arm2"], "reach": 21.5}
CHOICE = PanelChoice("y2", "x1", "g1", ("g1",))
T = TABLES
HELD = [{"name": "y2", "value": 2.75}]
LINES = FittedLines(
    CHOICE,
    "y2",
    T["lines"],
    T["lines"].assign(x=[1.0, 2.0, 3.0]),
    T["lines"].assign(fitted=[1.0, 1.0, NAN]),
    HELD,
    [],
)
MEANS = FocusMeans("x1", "y2", T["focus_means"], [], HELD, [])
WORDS = {
    "response": (captions.response, (T["columns"], "y2"), 5),
    "missing": (captions.missing, (T["missing"],), 5),
    "groups": (captions.groups, (T["balance"],), 6),
    "panels": (captions.panels, (T["lines"], CHOICE, T["balance"]), 3),
    "lines": (captions.lines, (LINES, T["balance"], T["columns"], 0.95), 6),
    "focus_means": (captions.focus_means, (MEANS, T["columns"], 0.95), 6),
    "candidates": (captions.candidates, (T["candidates"], "aic"), 4),
    "blocks": (captions.blocks, (T["design_parts"],), 2),
    "relationships": (captions.relationships, (T["relationships"],), 12),
    "path": (captions.path, (T["path"],), 3),
    "effects": (captions.effects, (T["effects"], 0.95), 6),
    "effect_pairs": (captions.effect_pairs, (T["effect_pairs"],), 2),
    "deviations": (
        captions.deviations,
        (T["components"], [fill(" {}", Name("m2")), fill(" {} per d", Name("m2"))]),
        4,
    ),
    "correlations": (captions.correlations, (T["correlations"],), 1),
    "residuals": (captions.residuals, (FACTS, T["outliers"]), 5),
    "check_curves": (captions.check_curves, (T["check_curves"],), 3),
    "forest": (captions.forest, (T["coefficients"], T["coefficients"].iloc[1:], 0.95), 2),
    "climb": (captions.climb, (T["algorithms"],), 4),
    "surface": (captions.surface, (["g1.x1", "g1.x2"],), 0),
    "means": (captions.means, (T["means"], T["pairs"]), 2),
    "interactions": (captions.interactions, (T["interactions"], "m2"), 3),
    "profile_zeta": (captions.profile_zeta, (T["profile_zeta"],), 2),
    "interval_comparison": (captions.interval_comparison, (T["interval_comparison"],), 2),
    "shrinkage": (captions.shrinkage, (T["shrinkage"], ["Intercept", "x1"]), 6),
    "cell_sds": (captions.cell_sds, (T["cell_sds"], "m2"), 4),
    "cell_correlations": (captions.cell_correlations, (T["cell_correlations"],), 4),
    "autocorrelation": (captions.autocorrelation, (T["autocorrelation"], 0.95), 4),
    "variogram": (captions.variogram, (T["variogram"], 0.95), 4),
    "variance_curve": (captions.variance_curve, (T["variance_curve"], "x1", "m2"), 4),
    "dropout": (captions.dropout, (T["dropout"],), 4),
    "assumptions": (captions.assumptions, (T["reference_based"],), 5),
    "tipping": (captions.tipping, (T["tipping_point"], SHIFTS, "ms"), 3),
    "structures": (captions.structures, (T["structures"],), 4),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "tables").mkdir()
    for name, table in TABLES.items():
        (folder / f"tables/{name}.csv").write_bytes(csv_bytes(table))
    (folder / "study.json").write_bytes(json_bytes({"inference": {"level": 0.95}}))
    (folder / "tipping_point.json").write_bytes(json_bytes({"facts": SHIFTS}))
    (folder / "residuals.json").write_bytes(json_bytes(FACTS))
    for name, told in (("lines", LINES), ("focus_means", MEANS)):
        (folder / f"{name}.json").write_bytes(json_bytes(told.to_dict()))
    return folder


@pytest.mark.parametrize("name", WORDS)
def test_every_number_is_a_mark_that_holds(run, name):
    make, arguments, count = WORDS[name]
    words = make(*arguments)
    proof = prove("".join(f"<p>{text.__html__()}</p>" for text in words.values()), run)
    assert proof.loose == []
    assert len(proof.proven) == count
    image = f'<img alt="{words["alt"]}" data-parts="{words["alt"].to_json().replace(chr(34), "&quot;")}">'
    assert prove(image, run).loose == []


@pytest.mark.parametrize("name", [name for name, (*_, count) in WORDS.items() if count])
def test_no_mark_holds_in_an_empty_run(tmp_path, name):
    make, arguments, count = WORDS[name]
    words = make(*arguments)
    proof = prove("".join(f"<p>{text.__html__()}</p>" for text in words.values()), tmp_path)
    assert proof.proven == []
    assert len(proof.loose) >= count
