"""Arguments that many verbs have: what passes, and the one wording of each refusal."""

from __future__ import annotations

import numpy as np
import pytest

from lmmkit.errors import FitError
from lmmkit.model.options import check_level, check_option, names_of, seed_of, whole


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (
            lambda: check_option("df", "kr", ("auto", None, 3)),
            "df='kr' is not known. Choose one of: 'auto', None, 3.",
        ),
        (lambda: check_option("df", [1], ("auto", "b")), "df=[1] is not known. Choose one of: 'auto', 'b'."),
        (lambda: whole("n", 0, "draws"), "n=0: the number of draws is a whole number from 1 up."),
        (lambda: whole("n", -3, "draws"), "n=-3: the number of draws is a whole number from 1 up."),
        (lambda: whole("n", 2.0, "draws"), "n=2.0: the number of draws is a whole number from 1 up."),
        (lambda: whole("n", True, "draws"), "n=True: the number of draws is a whole number from 1 up."),
        (lambda: seed_of(-1), "seed=-1: a whole number from 0 up is expected."),
        (lambda: seed_of(1.5), "seed=1.5: a whole number from 0 up is expected."),
        (lambda: seed_of(None), "seed=None: a whole number from 0 up is expected."),
        (lambda: names_of("by", 3), "by=3: a name is expected, or a list of names."),
        (lambda: names_of("by", ["a", 3]), "by=['a', 3]: a name is expected, or a list of names."),
        (lambda: names_of("by", None), "by=None: a name is expected, or a list of names."),
        (lambda: check_level("level", 0), "level=0: a number between 0 and 1 is expected, such as 0.95."),
        (lambda: check_level("level", 1.0), "level=1.0: a number between 0 and 1 is expected, such as 0.95."),
        (
            lambda: check_level("alpha", "5 %", 0.05),
            "alpha='5 %': a number between 0 and 1 is expected, such as 0.05.",
        ),
    ],
)  # fmt: skip
def test_what_is_no_such_argument_is_refused(ask, said):
    with pytest.raises(FitError) as caught:
        ask()
    assert str(caught.value) == said


def test_what_is_one_passes():
    check_option("df", None, ("auto", None))
    check_option("df", "auto", ("auto", None))
    assert (whole("n", 1, "draws"), whole("n", np.int64(7), "draws")) == (1, 7)
    assert (seed_of(0), seed_of(np.int32(5))) == (0, 5)
    assert names_of("by", "ab") == ["ab"]
    assert names_of("by", ("a", "b")) == ["a", "b"]
    assert names_of("by", []) == []
    check_level("level", 1e-9)
    check_level("level", 1 - 1e-9)


def test_a_generator_gives_its_next_number():
    one, two = np.random.default_rng(4), np.random.default_rng(4)
    first = seed_of(one)
    assert first == int(two.integers(2**63))
    assert seed_of(one) != first
