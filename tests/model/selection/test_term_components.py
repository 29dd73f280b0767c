"""Directions in which groups differ, of factors given by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from lmmkit.model.selection.term_components import term_components


def components(*blocks):
    """The components of one grouping factor with a block for each of its terms."""
    names = iter("abcd")
    random = [SimpleNamespace(factor="g", names=[next(names) for _ in block]) for block in blocks]
    return term_components(SimpleNamespace(random=random, factors=[np.array(block) for block in blocks]))


@pytest.mark.parametrize(
    ("sds", "directions"),
    [((4.0, 6.0, 3.0), ["b", "a", "c"]), ((1.0, 2.0, 5.0), ["c", "b", "a"]), ((2.0, 1.0), ["a", "b"])],
)
def test_uncorrelated_effects_are_the_components_in_the_order_of_their_sds(sds, directions):
    found = components(*[[[sd]] for sd in sds])
    assert found["direction"].tolist() == directions
    assert found["sd"].tolist() == pytest.approx(sorted(sds, reverse=True))
    assert found["correlation_share"].tolist() == pytest.approx([1 / len(sds)] * len(sds))


def test_correlated_effects_differ_in_their_sum_most_then_those_without_a_correlation():
    found = components([[1.0, 0.0], [0.6, 0.8]], [[3.0]], [[5.0]])
    assert found["correlation_share"].tolist() == pytest.approx([0.4, 0.25, 0.25, 0.1])
    assert [text.lstrip("-") for text in found["direction"][:3]] == ["0.71 a + 0.71 b", "d", "c"]
    assert found["sd"].tolist() == pytest.approx([5.0, 3.0, 1.6**0.5, 0.4**0.5])


def test_an_effect_without_variance_has_no_direction():
    found = components([[2.0]], [[0.0]], [[1.0]])
    assert found["direction"].tolist() == ["a", "c", ""]
    assert found["sd"].tolist() == [2.0, 1.0, 0.0]
