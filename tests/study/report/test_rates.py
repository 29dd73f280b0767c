# ruff: noqa: E501  (a sentence stands as it is printed)
"""What simulated error rates say: numbers on the left, the expected words on the right."""

import pandas as pd
import pytest

from lmmkit.study.report.rates import rates_in_words

RECORD = {
    "focus": "Days",
    "level": 0.05,
    "replicates": 1000,
    "truth": "y ~ 1 + Days + (1 + Days | g)",
    "truth_note": "the maximal model as fitted",
    "test": "The t test of Days is held",
}
NAMES = ["procedure", "type1", "type1_se", "power", "power_se"]
NAN = float("nan")


@pytest.mark.parametrize(
    ("rows", "record", "said"),
    [
        (
            [
                ("parsimonious (lrt, alpha 0.2)", 0.053, 0.0071, 0.91, 0.0091),
                ("maximal", 0.05, 0.0069, 0.9, 0.0095),
                ("intercepts only", 0.3, 0.0144, 0.99, 0.003),
            ],
            RECORD,
            [
                "1,000 responses without the effect of Days and as many with it were drawn from y ~ 1 + Days + (1 + Days | g), the maximal model as fitted; a test at 5 % finds an effect that is not there in 5.3 % by the rule parsimonious (lrt, alpha 0.2) (Monte Carlo error 0.71 %), 5 % by the maximal model (Monte Carlo error 0.69 %) and 30 % by intercepts alone (Monte Carlo error 1.4 %).",
                "The effect as estimated is found in 91 % by the rule parsimonious (lrt, alpha 0.2) (Monte Carlo error 0.91 %), 90 % by the maximal model (Monte Carlo error 0.95 %) and 99 % by intercepts alone (Monte Carlo error 0.3 %).",
                "The t test of Days is held.",
                "The choice and the test that follows it keep their level on this design; with intercepts alone the test would be too liberal.",
            ],
        ),
        (
            [
                ("forward (aic)", 0.11, 0.0099, 0.5, 0.016),
                ("maximal", 0.05, 0.007, 0.4, 0.015),
                ("intercepts only", 0.052, 0.007, 0.5, 0.016),
            ],
            RECORD,
            "The choice and the test that follows it are too liberal on this design.",
        ),
        (
            [("maximal", 0.01, 0.003, 0.2, 0.01), ("intercepts only", 0.09, 0.009, 0.5, 0.016)],
            RECORD,
            "The choice and the test that follows it are conservative on this design; with intercepts alone the test would be too liberal.",
        ),
        (
            [
                ("the formula", 0.07, 0.02, 0.2, 0.01),
                ("maximal", 0.07, 0.02, 0.2, 0.01),
                ("intercepts only", 0.07, 0.02, 0.5, 0.016),
            ],
            RECORD,
            "The choice and the test that follows it keep their level on this design.",
        ),
        (
            [
                ("best (bic)", 0.011, 0.001, 0.2, 0.01),
                ("maximal", 0.01, 0.001, 0.2, 0.01),
                ("intercepts only", 0.0101, 0.001, 0.5, 0.016),
            ],
            {**RECORD, "level": 0.01},
            "The choice and the test that follows it keep their level on this design.",
        ),
        (
            [("maximal", NAN, NAN, NAN, NAN), ("intercepts only", 0.05, 0.01, 0.5, 0.016)],
            RECORD,
            "None of the responses could be tested after the choice, so that nothing is known of its errors.",
        ),
    ],
)
def test_rates_in_words(rows, record, said):
    found = [str(text) for text in rates_in_words(pd.DataFrame(rows, columns=NAMES), record)]
    assert (found if isinstance(said, list) else found[-1]) == said
