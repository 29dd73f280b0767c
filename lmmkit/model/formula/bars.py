"""Random-effects terms as written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lmmkit.model.formula.random_terms import Group
from lmmkit.model.formula.term_algebra import INTERCEPT, Term


@dataclass(frozen=True)
class Bar:
    """One random-effects term as written: `(x | g)`, with its nesting expanded.

    Attributes:
        terms: What stands left of the bar, the intercept being `()`.
        group: The grouping factor.
        structure: correlated (one bar), split (two bars: every column a term of its own) or
            diagonal (`diag(...)`: one term, no covariances).
        text: As typed.
    """

    terms: tuple[Term, ...]
    group: Group
    structure: str = "correlated"
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        inside = f"{spell_terms(self.terms)} {'||' if self.structure == 'split' else '|'} {self.group}"
        return f"diag({inside})" if self.structure == "diagonal" else f"({inside})"


def spell_terms(terms: Sequence[Term]) -> str:
    """Terms as a formula writes them: `1 + x + x:f`, or `0 + x` without an intercept."""
    named = [":".join(map(str, term)) for term in terms if term]
    return " + ".join(["1" if INTERCEPT in terms else "0", *named])
