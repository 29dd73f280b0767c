"""What the library says in Python, said in the words of a study file."""

from __future__ import annotations

import re

_WORDS = (
    (re.compile(r"\bdf='([a-z-]+)'"), r"inference.df: \1"),
    (re.compile(r"\breml=True\b"), "model.method: REML"),
    (re.compile(r"\breml=False\b"), "model.method: ML"),
    (re.compile(r"\bmissing='(drop|error)'"), r"data.missing: \1"),
    (re.compile(r"\balgorithm='([a-z-]+)'"), r"model.algorithm: \1"),
    (re.compile(r"\bconf_int\(method='(\w+)'\)"), r"inference.ci: \1"),
    (re.compile(r"\bmethod='auto' or 'profile'"), "inference.ci: auto or profile"),
    (re.compile(r"\b(?:method|ci)='(wald|profile|bootstrap)'"), r"inference.ci: \1"),
    (re.compile(r"\binfluence\(fit, of='[^']*'\) says"), "the table of influences says"),
    (re.compile(r"`tipping_point`"), "missing_data.assumptions: tipping-point"),
    (
        re.compile(r": for a model without .*? use statsmodels' OLS .*? beside fits\."),
        "; a study needs either.",
    ),
    (re.compile(r"\bresidual='([^']*)'"), r"model.residual: \1"),
    (re.compile(r"^residual `"), "`"),
    (re.compile(r"\{'(\w+)': '(\w+)'\}"), r"{\1: \2}"),
    (re.compile(r"^(weights|offset|contrasts): "), r"model.\1: "),
)


def in_study_words(text: str) -> str:
    """A sentence of the library with the keys of a study file in place of Python's arguments.

    >>> in_study_words("Use df='satterthwaite' or fit with reml=True.")
    'Use inference.df: satterthwaite or fit with model.method: REML.'
    """
    for pattern, words in _WORDS:
        text = pattern.sub(words, text)
    return text
