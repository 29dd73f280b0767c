"""The same model with the same priors as a text for Bambi and for brms, every prior written out.

What another program cannot say exactly is refused: what is nearly the same would be taken for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from lmmkit.engine.covariance.structures import Diagonal, Unstructured
from lmmkit.engine.posterior.priors import Flat, Half, Prior
from lmmkit.errors import FitError
from lmmkit.model.design.design import Design, RandomTerm
from lmmkit.model.formula.formula import INTERCEPT, Bar, spell_terms
from lmmkit.model.means.focus import reference_level

HEAD = "The model of a fit by lmmkit, with the priors of its posterior."
IN_R = {
    "log", "log2", "log10", "log1p", "exp", "sqrt", "abs", "sin", "cos", "I", "factor", "poly", "bs", "ns",
    "scale",
}  # fmt: skip
RENAMED = set("+-*/^=")  # letters of a coefficient's name that brms writes otherwise


def to_bambi(design: Design, priors: Mapping[str, Prior], draws: int, seed: int) -> str:
    """Python text that builds and draws the model by Bambi.

    Args:
        design: The design of the fit.
        priors: Of each coefficient and parameter, by the names of `Posterior.table`.
        draws: To take, in all.
        seed: Of the random numbers.

    Raises:
        FitError: Bambi has no such model.
    """
    _refuse_common(design, "Bambi")
    formula = design.recipe.formula
    plain = [formula.response, *(part for term in formula.fixed for part in term)]
    for expression in plain:
        if (expression.text,) != expression.variables:
            raise FitError(
                f"`{expression.text}` is written otherwise in Bambi's formulas: make it a column of the data "
                "and name that column."
            )
    terms, lines = list[str](), list[str]()
    for coefficient in design.fixed_terms:
        mine = {priors[design.fixed_names[i]] for i in coefficient.columns if design.fixed_names[i] in priors}
        if len(mine) > 1:
            raise FitError(
                f"Bambi has one prior for all coefficients of {coefficient.name}; give them one here too."
            )
        lines.append(f"    {coefficient.name!r}: {_bambi(mine.pop())},") if mine else None
    for term in design.random:
        _refuse_correlated(term)
        for name in term.names:
            terms.append(f"(1 | {term.factor})" if name == "Intercept" else f"(0 + {name} | {term.factor})")
            if name != "Intercept" and (name,) not in {p.variables for p in plain} | _numbers(design):
                raise FitError(
                    f"`{name}` in the term of {term.factor} is one column of several, which Bambi gives one "
                    "common variance: make it a column of the data and name that column."
                )
            label = f"{'1' if name == 'Intercept' else name}|{term.factor}"
            sigma = _bambi(priors[f"{term.group}.sd.{name}"])
            lines.append(f'    {label!r}: bmb.Prior("Normal", mu=0, sigma={sigma}),')
    lines.append(f'    "sigma": {_bambi(priors["Residual.sd"])},')
    fixed = spell_terms(formula.fixed)
    text = f"{formula.response.text} ~ {' + '.join([fixed, *terms, *_offsets(design)])}"
    levels = [
        f"data[{name!r}] = pd.Categorical(data[{name!r}].astype(str), {list(levels)!r})"
        for name, levels in _levels(design, "Bambi")
    ]
    return "\n".join(
        [
            f"# {HEAD} For Bambi 0.15 or later.",
            "import bambi as bmb",
            "import pandas as pd",
            "",
            'data = pd.read_parquet("data.parquet")  # the rows of the fit: fit.model_frame()',
            *levels,
            "",
            "priors = {",
            *lines,
            "}",
            f"model = bmb.Model({text!r}, data, priors=priors, center_predictors=False)",
            f"results = model.fit(draws={max(1, draws // 4)}, chains=4, target_accept=0.95, "
            f"random_seed={seed})",
            "",
        ]
    )


def to_brms(design: Design, priors: Mapping[str, Prior], draws: int, seed: int) -> str:
    """R text that builds and draws the model by brms; arguments as of `to_bambi`.

    Raises:
        FitError: brms has no such model, or writes it otherwise.
    """
    _refuse_common(design, "brms")
    formula = design.recipe.formula
    for expression in formula.expressions():
        for word in _functions(expression.text) - IN_R:
            raise FitError(f"`{word}()` is no function of R: make `{expression.text}` a column and name it.")
    fixed = spell_terms(formula.fixed)
    fixed = f"0 + Intercept{fixed.removeprefix('1')}" if INTERCEPT in formula.fixed else fixed
    bars = [_r_bar(bar) for bar in formula.random]
    text = f"{formula.response.text} ~ {' + '.join([fixed, *bars, *_offsets(design)])}"
    lines = [*_r_priors(design, priors)]
    levels = [
        f"data${_r_name(name)} <- factor(as.character(data${_r_name(name)}), levels = "
        f"c({', '.join(map(_r_text, levels))}))"
        for name, levels in _levels(design, "brms")
    ]
    return "\n".join(
        [
            f"# {HEAD}",
            "library(brms)",
            "",
            'data <- arrow::read_parquet("data.parquet")  # the rows of the fit, with columns of the data',
            *levels,
            "",
            "priors <- c(",
            ",\n".join(f"  {line}" for line in lines),
            ")",
            "fit <- brm(",
            f"  bf({text}),",
            "  data = data, prior = priors, family = gaussian(),",
            f"  chains = 4, iter = {1000 + max(1, draws // 4)}, warmup = 1000, seed = {seed % 2**31},",
            "  control = list(adapt_delta = 0.95)",
            ")",
            "",
        ]
    )


def _refuse_common(design: Design, program: str) -> None:
    """What neither text can say exactly."""
    problem = design.problem
    if design.residual is not None:
        raise FitError(f"The residual structure {design.residual.formula} is not written for {program}.")
    if problem.weights is not None:
        raise FitError(
            "Prior weights divide the residual variance here, and multiply the log likelihood in "
            f"{program}: a model with weights is not written for it."
        )
    if design.has_relatives or any(term.members for term in problem.terms):
        raise FitError(f"Related levels, and rows of several levels, are not written for {program}.")
    for term in design.random:
        if not isinstance(term.structure, Unstructured | Diagonal):
            raise FitError(f"{program} has no term {term.structure.tag}(... | {term.factor}).")


def _refuse_correlated(term: RandomTerm) -> None:
    if len(term.names) > 1 and not isinstance(term.structure, Diagonal):
        effects = " + ".join("1" if name == "Intercept" else name for name in term.names)
        raise FitError(
            f"Bambi has no correlated random effects (bambinos/bambi #702), so `({effects} | {term.factor})` "
            f"cannot be written for it; `({effects} || {term.factor})` can, whose effects are independent, "
            "and to_brms() writes this one."
        )


def _numbers(design: Design) -> set[tuple[str, ...]]:
    """The columns of random slopes that are plain numbers."""
    formula = design.recipe.formula
    return {
        part.variables
        for bar in formula.random
        for term in bar.terms
        for part in term
        if len(term) == 1 and (part.text,) == part.variables and part.text in design.frame
    }


def _levels(design: Design, program: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The levels of each factor of the fixed part, in their order; of grouping factors they do not matter."""
    for variable in {v.expression.text: v for parts in design.composition.values() for v in parts}.values():
        if variable.kind != "factor":
            continue
        text, first = variable.expression.text, reference_level(variable)
        if (text,) != variable.expression.variables:
            raise FitError(
                f"The levels of `{text}` are made by the formula: make it a column of the data and name that "
                f"column, to have it written for {program}."
            )
        if first is None:
            raise FitError(
                f"{text} is not coded by differences from a reference level, all that is written for "
                f"{program}."
            )
        yield text, (first, *(level for level in variable.levels if level != first))


def _offsets(design: Design) -> list[str]:
    formula = design.recipe.formula
    if design.request.offset is not None:
        raise FitError(
            "An offset given beside the formula is not written: put offset(column) into the formula."
        )
    return [f"offset({each.text})" for each in formula.offsets]


def _bambi(prior: Prior) -> str:
    if isinstance(prior, Flat):
        return 'bmb.Prior("Flat")'
    if isinstance(prior, Half) and not prior.centred:
        raise FitError(f"{prior.text} has its centre elsewhere than at zero, which Bambi's halves have not.")
    numbers = ", ".join(f"{key}={value!r}" for key, value in prior.keywords.items())
    return f"bmb.Prior({json.dumps(prior.pymc)}, {numbers})"


def _r_priors(design: Design, priors: Mapping[str, Prior]) -> Iterator[str]:
    """One line for each prior; a flat one on coefficients is brms's own."""
    for name in design.fixed_names:
        if name in priors and not isinstance(priors[name], Flat):
            yield f'set_prior({_r_prior(priors[name])}, class = "b", coef = {_r_text(_r_coefficient(name))})'
    for term in design.random:
        where = f"group = {_r_text(term.factor)}"
        for name in term.names:
            prior = _r_prior(priors[f"{term.group}.sd.{name}"])
            yield f'set_prior({prior}, class = "sd", {where}, coef = {_r_text(_r_coefficient(name))})'
        if len(term.names) > 1 and not isinstance(term.structure, Diagonal):
            pair = f"{term.group}.cor.{term.names[1]}.{term.names[0]}"
            yield f'set_prior({_r_prior(priors[pair])}, class = "cor", {where})'
    yield f'set_prior({_r_prior(priors["Residual.sd"])}, class = "sigma")'


def _r_prior(prior: Prior) -> str:
    """A prior as Stan writes it; brms cuts those of standard deviations off at zero itself."""
    return _r_text(prior.of.text if isinstance(prior, Half) else prior.text)


def _r_coefficient(name: str) -> str:
    """What brms calls a column: `MachineB` for `Machine[T.B]`, `logx` for `log(x)`."""
    if RENAMED & set(name):
        raise FitError(f"brms calls `{name}` otherwise: make it a column of the data and name that column.")
    return re.sub(r"[][(), ]", "", name.replace("[T.", ""))


def _r_bar(bar: Bar) -> str:
    if bar.tag:
        return f"({spell_terms(bar.terms)} || {bar.group})"
    return str(bar)


def _r_text(text: object) -> str:
    return json.dumps(str(text), ensure_ascii=False)


def _r_name(name: str) -> str:
    return name if name.isidentifier() else f"`{name}`"


def _functions(text: str) -> set[str]:
    """The words before a bracket."""
    return set(re.findall(r"[\w.]+(?=\()", text))
