"""The model in mathematics, as MathML made when the report is built: no script, no address."""

from __future__ import annotations

from collections.abc import Sequence

from lmmkit.engine.covariance.patterned import Exponential, PatternedStructure
from lmmkit.engine.covariance.structures import Structure
from lmmkit.escape import html
from lmmkit.model.design.design import Design, RandomTerm
from lmmkit.model.formula.residual_formula import (
    SERIAL,
    SPATIAL,
    WHOLE,
    GrowingVariance,
    ResidualFormula,
)
from lmmkit.study.pages.seen_names import NO_LABELS, Labels

MOST_TERMS = 8


def symbol(text: str) -> str:
    """A letter of the model."""
    return f"<mi>{html(text)}</mi>"


def name(text: str) -> str:
    """A name of the data, upright."""
    return f'<mi mathvariant="normal">{html(text)}</mi>'


def digits(value: object) -> str:
    """A number."""
    return f"<mn>{html(value)}</mn>"


def operator(text: str) -> str:
    """A sign between its neighbours."""
    return f"<mo>{html(text)}</mo>"


DISTRIBUTED = operator("\N{TILDE OPERATOR}")
TRANSPOSED = operator("\N{DOWN TACK}")
GAP = '<mspace width="1em"></mspace>'
FENCES = (("prefix", "["), ("postfix", "]"))


def row(*parts: str) -> str:
    """Parts side by side."""
    return f"<mrow>{''.join(parts)}</mrow>"


def sub(base: str, *below: str) -> str:
    """A base with what stands below it, separated by commas."""
    return f"<msub>{base}{row(operator(',').join(below))}</msub>"


def power(base: str, above: str) -> str:
    """A base with what stands above it."""
    return f"<msup>{base}{above}</msup>"


def column(entries: Sequence[str]) -> str:
    """A vector, its entries one below the other."""
    return matrix([[entry] for entry in entries])


def matrix(rows: Sequence[Sequence[str]]) -> str:
    """A matrix in brackets."""
    body = "".join("<mtr>" + "".join(f"<mtd>{cell}</mtd>" for cell in line) + "</mtr>" for line in rows)
    left, right = (f'<mo fence="true" stretchy="true" form="{at}">{sign}</mo>' for at, sign in FENCES)
    return row(left, f"<mtable>{body}</mtable>", right)


def total(terms: Sequence[str]) -> list[str]:
    """The terms of a sum, each after the first with its sign."""
    return [*terms[:1], *('<mo form="infix">+</mo>' + term for term in terms[1:])]


def display(parts: Sequence[str], words: str) -> str:
    """One displayed formula, with the words that stand for it.

    Between its parts it goes on in the next line where a line is too short.
    """
    wraps = f'<mrow class="wraps">{"".join(map(row, parts))}</mrow>'
    return f'<math display="block" aria-label="{html(words)}">{wraps}</math>'


def model_equations(design: Design, labels: Labels = NO_LABELS) -> list[str]:
    """The equation of one observation, then the distribution of each random part and of the residual.

    Args:
        design: The design of the fit.
        labels: What readers see for the names of its columns.
    """
    response = sub(name(labels.of(design.response)), symbol("i"))
    terms = [*_fixed([labels.of(label) for label in design.fixed_names])]
    terms += [part for term in design.random for part in _random(term, labels)]
    terms += [sub(symbol("o"), symbol("i"))] if design.problem.offset is not None else []
    parts = [response + operator("="), *total([*terms, sub(symbol("ε"), symbol("i"))])]
    mean = display(parts, f"{design.formula}, written out for observation i")
    return [mean, *(_distribution(term) for term in design.random), *_residuals(design)]


def _fixed(names: Sequence[str]) -> list[str]:
    if len(names) > MOST_TERMS:
        return [row(power(sub(symbol("x"), symbol("i")), TRANSPOSED), symbol("β"))]
    return [_times(sub(symbol("β"), digits(k)), label) for k, label in enumerate(names)]


def _random(term: RandomTerm, labels: Labels) -> list[str]:
    """The effects of the observation's own level; a level is written as the factor's name at i."""
    if len(term.names) > MOST_TERMS or isinstance(term.structure, Exponential):
        level = row(name(term.factor), operator("["), symbol("i"), operator("]"))
        return [row(power(sub(symbol("z"), symbol("i")), TRANSPOSED), sub(symbol("b"), level))]
    return [_times(_effect(term, k), labels.of(label)) for k, label in enumerate(term.names)]


def _effect(term: RandomTerm, k: int) -> str:
    """The effect of an observation's level; of its members, m by m, each by its weight w."""
    several = term.grouping.members
    index = [symbol("i"), symbol("m")] if several else [symbol("i")]
    effect = sub(symbol("b"), digits(k), row(name(term.factor), operator("["), *index, operator("]")))
    if not several:
        return effect
    return sub(operator("∑"), symbol("m")) + sub(symbol("w"), row(*index)) + effect


def _times(coefficient: str, label: str) -> str:
    if label == "Intercept":
        return coefficient
    return coefficient + operator("\N{INVISIBLE TIMES}") + sub(name(label), symbol("i"))


def _distribution(term: RandomTerm) -> str:
    k = len(term.names)
    level = symbol("j")
    left = [sub(symbol("b"), digits(i), level) for i in range(k)]
    group = name(term.group)
    words = f"The {k} effects of each level of {term.group} are normal with mean zero"
    if k == 1:
        words = f"The effect of each level of {term.group} is normal with mean zero"
    if term.grouping.known is not None:
        return _related(term, words)
    if k == 1:
        variance = power(sub(symbol("σ"), group), digits(2))
        return display([left[0] + DISTRIBUTED + _normal(digits(0), variance)], words)
    covariance = sub(symbol("G"), group)
    whole = k <= 4 and not isinstance(term.structure, PatternedStructure)
    shape = covariance + (operator("=") + matrix(_entries(term)) if whole else "")
    if isinstance(term.structure, PatternedStructure):
        shape, words = _pattern(term.structure, covariance), f"{words}; {term.structure.words}"
    vector = column(left) if k <= 4 else sub(symbol("b"), level)
    body = vector + DISTRIBUTED + _normal(digits(0), covariance) + operator(",")
    return display([body + GAP, shape], words)


def _related(term: RandomTerm, words: str) -> str:
    """The effects of all levels together: A of a pedigree, else K, says how levels are related."""
    assert term.grouping.known is not None
    kinship = symbol("K" if term.grouping.known.pedigree is None else "A")
    group, told = name(term.group), f"{words}, related between levels by a known matrix"
    if len(term.names) == 1:
        variance = power(sub(symbol("σ"), group), digits(2)) + operator("\N{INVISIBLE TIMES}") + kinship
        return display([sub(symbol("b"), digits(0)) + DISTRIBUTED + _normal(digits(0), variance)], told)
    covariance = sub(symbol("G"), group)
    body = symbol("b") + DISTRIBUTED + _normal(digits(0), kinship + operator("⊗") + covariance)
    return display([body], told)


def _pattern(structure: PatternedStructure, covariance: str) -> str:
    """The entry of two columns, k and m."""
    k, m, sigma = symbol("k"), symbol("m"), symbol("σ")
    variance = power(sub(sigma, k), digits(2)) if structure.own else power(sigma, digits(2))
    sizes = sub(sigma, k) + sub(sigma, m) if structure.own else variance
    apart = row(operator("|"), k, operator("−"), m, operator("|"))
    if isinstance(structure, Exponential):
        far = row(operator("−"), sub(symbol("d"), k, m), operator("/"), symbol("r"))
        entry = sizes + power(symbol("e"), far)
    elif structure.tag in ("ar1", "hetar1"):
        entry = sizes + power(symbol("ρ"), apart)
    elif structure.tag in ("toep", "homtoep"):
        entry = sizes + sub(symbol("ρ"), apart)
    else:
        entry = sizes + symbol("ρ") if structure.pairs else digits(0)
    same = row(operator("("), k, operator("≠"), m, operator(")"))
    diagonal = sub(covariance, k, k) + operator("=") + variance
    return row(diagonal, operator(","), sub(covariance, k, m), operator("="), entry, same)


def _entries(term: RandomTerm) -> list[list[str]]:
    k = len(term.names)
    return [[_entry(i, j, term.structure) for j in range(k)] for i in range(k)]


def _entry(i: int, j: int, structure: Structure) -> str:
    if i == j:
        return power(sub(symbol("σ"), digits(i)), digits(2))
    low, high = sorted((i, j))
    if (high, low) not in structure.pairs:
        return digits(0)
    pair = sub(symbol("ρ"), digits(low), digits(high))
    return row(pair, sub(symbol("σ"), digits(low)), sub(symbol("σ"), digits(high)))


def _residuals(design: Design) -> list[str]:
    """The distribution of a residual, and the correlation of two of one subject."""
    shape = design.residual
    if shape is None:
        return [_residual(design, symbol("σ"), "The residuals are normal")]
    one = _residual(design, _sd(shape.formula), "The residuals are normal with mean zero")
    return [one, *_correlations(shape.formula)] if shape.formula.group else [one]


def _residual(design: Design, sd: str, words: str) -> str:
    shape = design.residual
    growth = _growth(shape.formula.growing) if shape and shape.formula.growing else ""
    variance = row(power(sd, digits(2)), growth) if growth else power(sd, digits(2))
    if design.problem.weights is not None:
        variance = row(variance, operator("/"), sub(symbol("w"), symbol("i")))
    left = sub(symbol("ε"), symbol("i"))
    return display([left + DISTRIBUTED + _normal(digits(0), variance)], words)


def _growth(growing: GrowingVariance) -> str:
    """What a variance that follows a number is multiplied by, its power or exponential in delta."""
    fitted = sub(f"<mover>{symbol('y')}{operator('^')}</mover>", symbol("i"))
    value = fitted if growing.of is None else _at(str(growing.of), "i")
    if growing.kind == "exp":
        return power(symbol("e"), row(digits(2), symbol("δ"), value))
    return power(row(operator("|"), value, operator("|")), row(digits(2), symbol("δ")))


def _sd(formula: ResidualFormula) -> str:
    """The SD of a residual: one, or one for each visit or level at i."""
    by = [_at(str(formula.by), "i")] if formula.by else []
    if formula.ident:
        return sub(symbol("σ"), _at(str(formula.ident), "i"))
    visit = [_visit(formula, "i")] if formula.heterogeneous else []
    return sub(symbol("σ"), *by, *visit) if by or visit else symbol("σ")


def _correlations(formula: ResidualFormula) -> list[str]:
    """The correlation of the residuals of two rows, and the distance that it fades with in the plane."""
    if not formula.coordinates:
        return [_correlation(formula)]
    squares = [
        power(row(operator("("), _at(str(x), "k"), operator("−"), _at(str(x), "i"), operator(")")), digits(2))
        for x in formula.coordinates
    ]
    distance = f"<msqrt>{row(operator('+').join(squares))}</msqrt>"
    body = sub(symbol("d"), symbol("i"), symbol("k")) + operator("=") + distance
    return [_correlation(formula), display([body], "The distance of two rows")]


def _fading(formula: ResidualFormula, apart: str) -> str:
    """e to the minus distance over range, less the part of a nugget."""
    if formula.coordinates:
        apart = sub(symbol("d"), symbol("i"), symbol("k"))
    decay = power(symbol("e"), row(operator("−"), apart, operator("/"), symbol("r")))
    left = row(operator("("), digits(1), operator("−"), symbol("ν"), operator(")"))
    return row(left, decay) if formula.nugget else decay


def _correlation(formula: ResidualFormula) -> str:
    """The correlation of the residuals of rows i and k of one subject."""
    first, second, by = _visit(formula, "i"), _visit(formula, "k"), []
    if formula.by:
        by = [_at(str(formula.by), "i")]
    apart = row(operator("|"), second, operator("−"), first, operator("|"))
    between = row(first, operator("≤"), symbol("t"), operator("<"), second)
    neighbours = sub(symbol("ρ"), *by, symbol("t"), row(symbol("t"), operator("+"), digits(1)))
    rho = sub(symbol("ρ"), *by) if by else symbol("ρ")
    right = {
        "cs": rho,
        "ar1": power(rho, apart),
        "toep": sub(symbol("ρ"), *by, apart),
        "un": sub(symbol("ρ"), *by, first, second),
        "ad": row(f"<munder>{operator('∏')}{between}</munder>", neighbours),
        SERIAL: _fading(formula, apart),
        SPATIAL: _fading(formula, apart),
    }[formula.correlation]
    pair = operator(",").join(sub(symbol("ε"), symbol(at)) for at in "ik")
    body = name("cor") + row(operator("("), pair, operator(")")) + operator("=") + right
    if formula.group == WHOLE:
        return display([body], "Residuals of any two rows are correlated by their distance")
    subject, body = str(formula.group), body + operator(",")
    same = _at(subject, "i") + operator("=") + _at(subject, "k")
    words = f"Residuals of two rows of one {subject} are correlated, those of others are independent"
    return display([body + GAP, same], words)


def _visit(formula: ResidualFormula, at: str) -> str:
    """The visit of a row; without a column its number among the rows of its subject."""
    return _at(str(formula.time), at) if formula.time else sub(symbol("t"), symbol(at))


def _at(column: str, row_: str) -> str:
    """The value of a column in a row."""
    return row(name(column), operator("["), symbol(row_), operator("]"))


def _normal(mean: str, variance: str) -> str:
    return row(symbol("N"), operator("("), mean, operator(","), variance, operator(")"))
