"""The study file as one strict pydantic schema: every key, its type, its domain and what it means."""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from lmmkit.engine.posterior.priors import read_prior
from lmmkit.errors import FitError, FormulaError
from lmmkit.model.formula.expression import named_column, parse_expression
from lmmkit.model.formula.formula import parse_candidate, parse_formula
from lmmkit.model.formula.residual_formula import IID, ResidualFormula, parse_residual
from lmmkit.model.selection.walks import default_criterion
from lmmkit.model.table.labels import label_of


def _level_text(value: object) -> object:
    """Levels are text; a whole number in the file is its digits."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _place_text(value: object) -> object:
    """Places of measurements are text; a number in the file is its shortest text."""
    return label_of(value) if isinstance(value, float) else _level_text(value)


def _composed(value: object) -> object:
    """Names are compared in Unicode's composed form, as the columns of a file are."""
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


def _twice(words: Iterable[str]) -> list[str]:
    return sorted(word for word, count in Counter(words).items() if count > 1)


def _once(words: list[str] | None) -> list[str] | None:
    if twice := _twice(words or ()):
        raise ValueError(f"stands twice: {', '.join(twice[:12])}")
    return words


def _word_or_list(value: object) -> str:
    return "text" if isinstance(value, str) else "list"


def _shape(value: object) -> str:
    return "list" if isinstance(value, list) else "mapping"


def _read_candidate(text: str) -> None:
    parse_candidate(text, parse_formula("y ~ 1"))


def _checked(read: Callable[..., object], *purpose: str) -> AfterValidator:
    def check(text: str) -> str:
        try:
            read(text, *purpose)
        except FormulaError as error:
            raise ValueError(str(error)) from None
        return text

    return AfterValidator(check)


Level = Annotated[str, BeforeValidator(_level_text, json_schema_input_type=str | int)]
Place = Annotated[str, BeforeValidator(_place_text, json_schema_input_type=str | int | float)]
Value = Annotated[str | bool | int | float, Field(union_mode="left_to_right")]
Code = Annotated[str | int | float, Field(union_mode="left_to_right")]
OneLine = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\r\n\x00]*$")]
FormulaText = Annotated[
    str, BeforeValidator(_composed), Field(min_length=1, max_length=10_000), _checked(parse_formula)
]
ResidualText = Annotated[
    str, BeforeValidator(_composed), Field(min_length=1, max_length=1_000), _checked(parse_residual)
]
# A column's name may hold a line break, and so may what names it.
ShortText = Annotated[str, Field(min_length=1, max_length=500)]
Condition = Annotated[ShortText, _checked(parse_expression, "exclude")]
Derivation = Annotated[ShortText, _checked(parse_expression, "derive")]
Candidate = Annotated[ShortText, BeforeValidator(_composed), _checked(_read_candidate)]
ColumnName = Annotated[ShortText, BeforeValidator(_composed), AfterValidator(named_column)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
#: What a model uses a column for. number: response, weights, offset, arithmetic; predictor: stands alone in
#: the formula, a number or a factor by what it holds; group: stands right of a bar only.
#: member and member weight: columns of mm() alone, where a row may have no value.
Role = Literal[
    "number", "predictor", "group", "member", "member weight", "number and group", "predictor and group"
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Column(_Section):
    """One column of the data: what it holds, in which unit, within which bounds."""

    type: Literal["number", "factor", "time"] | None = Field(
        default=None,
        description="number, factor or time (in `unit`s since the first date); read sensibly when left out",
    )
    unit: OneLine | None = Field(
        default=None, description="Unit, for axes and tables; of a time also s, min, h or d"
    )
    role: Role | None = Field(
        default=None, description="What the model uses it for; filled in from the formula, not to be set"
    )
    format: OneLine | None = Field(
        default=None, description="How dates are written, in the letters of strftime, such as %d/%m/%Y"
    )
    label: OneLine | None = Field(default=None, description="What tables and figures call the column")
    labels: dict[str, OneLine] = Field(
        default_factory=dict, description="What tables and figures call its levels, by level"
    )
    min: Finite | None = Field(
        default=None, description="Least plausible value: rows below it are dropped and listed"
    )
    max: Finite | None = Field(
        default=None, description="Greatest plausible value: rows above it are dropped and listed"
    )
    levels: list[Level] | None = Field(
        default=None, min_length=1, description="Levels of a factor, in their order"
    )
    order: list[Level] | None = Field(
        default=None,
        min_length=1,
        description="Levels of a factor that come first, in their order; the others follow",
    )
    reference: Level | None = Field(default=None, description="Level of a factor that comes first")

    @field_validator("levels", "order", "reference")
    @classmethod
    def _of_a_factor(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and info.data.get("type") != "factor":
            raise ValueError("only a column of `type: factor` has it")
        return value

    @field_validator("format")
    @classmethod
    def _of_a_time(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return value
        if info.data.get("type") != "time":
            raise ValueError("only a column of `type: time` has it")
        try:
            if "%" not in value:
                raise ValueError
            datetime.datetime.strptime(datetime.datetime(2001, 2, 3).strftime(value), value)
        except (ValueError, re.error):  # the latter of a letter that stands twice
            raise ValueError("expected the letters of strftime, such as %d/%m/%Y or %d.%m.%y %H:%M") from None
        return value

    @field_validator("min", "max")
    @classmethod
    def _of_a_number(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and info.data.get("type") == "factor":
            raise ValueError("a factor has no bounds; list its `levels` instead")
        return value

    @field_validator("max")
    @classmethod
    def _above_the_least(cls, value: float | None, info: ValidationInfo) -> float | None:
        low = info.data.get("min")
        if value is not None and low is not None and value < low:
            raise ValueError(f"max {value:g} is below min {low:g}")
        return value

    _each_once = field_validator("levels", "order")(_once)

    @field_validator("order")
    @classmethod
    def _one_list(cls, value: list[str] | None, info: ValidationInfo) -> list[str] | None:
        if value is not None and info.data.get("levels") is not None:
            raise ValueError("`levels` are in their order already; leave one of the two out")
        return value

    @field_validator("reference")
    @classmethod
    def _among_the_levels(cls, value: str | None, info: ValidationInfo) -> str | None:
        levels: list[str] | None = info.data.get("levels")
        if value is not None and levels is not None and value not in levels:
            raise ValueError(f"{value!r} is not among the levels {', '.join(levels)}")
        return value


class Limits(_Section):
    """How large a data file may be; what is larger is refused before memory is taken for it."""

    bytes: Annotated[int, Field(ge=1)] = Field(
        default=1_000_000_000, description="Bytes of the file, unpacked where it is packed"
    )
    rows: Annotated[int, Field(ge=1)] = Field(default=20_000_000, description="Rows")
    columns: Annotated[int, Field(ge=1)] = Field(default=10_000, description="Columns")
    cells: Annotated[int, Field(ge=1)] = Field(default=200_000_000, description="Rows times columns")
    levels: Annotated[int, Field(ge=1)] = Field(
        default=10_000, description="Levels that are declared of one column"
    )
    na: Annotated[int, Field(ge=1)] = Field(default=1_000, description="Codes in data.na")


Measured = Annotated[
    Annotated[str, Field(pattern=r"^[^*\r\n]*\*[^*\r\n]*$", max_length=500), Tag("text")]
    | Annotated[list[OneLine], Field(min_length=2, max_length=10_000), Tag("list")],
    Discriminator(_word_or_list),
]


class Reshape(_Section):
    """A wide file made long: a row for each measurement of a row of the file."""

    measured: Annotated[dict[str, Measured], Field(min_length=1)] = Field(
        description="New columns: the measured columns of each, as a pattern such as y_t* or as a list"
    )
    index: OneLine = Field(
        default="index",
        description="New column that tells the measurements apart: what the star stands for, or the column",
    )
    at: list[Place] | None = Field(
        default=None, min_length=2, description="Values of that column, in the order of the measured columns"
    )
    id: list[OneLine] | None = Field(
        default=None, description="Columns to repeat on every row; all that are not measured when left out"
    )
    row: OneLine | None = Field(default=None, description="New column that numbers the rows of the file")

    @field_validator("measured")
    @classmethod
    def _of_one_kind(cls, value: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
        lists = {name: given for name, given in value.items() if not isinstance(given, str)}
        if lists and len(value) > 1:
            raise ValueError("several measurements are told apart by patterns such as y_t* and z_t*")
        twice = [name for given in lists.values() for name in _twice(given)]
        if twice:
            raise ValueError(f"names {twice[0]} twice")
        return value

    _told_apart = field_validator("at")(_once)


class Data(_Section):
    """The data file, how to read it, and which rows to keep."""

    source: OneLine = Field(description="File relative to the study file, or the name of a shipped data set")
    sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="Digest that the file must have: 64 hexadecimal digits",
    )
    missing: Literal["drop", "error"] = Field(
        default="drop",
        description="Rows with a missing value in a declared column: drop and list them, or refuse to go on",
    )
    exclude: list[Condition] = Field(
        default_factory=list, description="Rows where an expression holds are dropped"
    )
    derive: dict[str, Derivation] = Field(
        default_factory=dict, description="New columns by name, as expressions"
    )
    columns: dict[str, Column] = Field(
        default_factory=dict,
        description="The columns that the study uses; those of the model are added by themselves",
    )
    sep: Annotated[str, Field(min_length=1, max_length=1)] | None = Field(
        default=None, description="Separator of a text file"
    )
    decimal: Literal[".", ","] = Field(default=".", description="Decimal mark of a text file")
    encoding: OneLine = Field(default="utf-8", description="Encoding of a text file")
    sheet: str | None = Field(default=None, description="Sheet of a workbook; the first when left out")
    thousands: Literal[".", ",", " ", "'"] | None = Field(
        default=None, description="Mark between groups of three digits, in a text file"
    )
    header: Annotated[int, Field(ge=0)] = Field(
        default=1, description="Line, or row of a sheet, that holds the columns' names; 0 when none does"
    )
    comment: Annotated[str, Field(min_length=1, max_length=3)] | None = Field(
        default=None, description="Lines of a text file that begin with it are passed over"
    )
    multiline: bool = Field(default=False, description="Whether a cell in quotes may span lines")
    na: list[Code] = Field(
        default_factory=list[str | int | float],
        description="Codes of a missing value: by value in columns of numbers, as exact text in others",
    )
    na_defaults: bool = Field(
        default=True, description="Whether an empty cell, NA and NaN mean a missing value, beside `na`"
    )
    reshape: Reshape | None = Field(
        default=None, description="A file with a column for each measurement, made long; left out: as it is"
    )
    limits: Limits = Field(
        default_factory=Limits, validate_default=True, description="How large the file may be"
    )

    @field_validator("thousands")
    @classmethod
    def _two_marks(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and value == info.data.get("decimal"):
            raise ValueError(f"{value!r} is the decimal mark already")
        return value

    @field_validator("columns", "derive", mode="before")
    @classmethod
    def _composed_names(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        items = cast("dict[object, object]", value).items()
        return {_composed(name): item for name, item in items}

    @field_validator("limits")
    @classmethod
    def _within_the_limits(cls, value: Limits, info: ValidationInfo) -> Limits:
        codes = len(info.data.get("na", ()))
        if codes > value.na:
            raise ValueError(
                f"data.na holds {codes:,} codes; the limit is {value.na:,}, set by data.limits.na"
            )
        columns: dict[str, Column] = info.data.get("columns", {})
        for name, column in columns.items():
            levels = max(len(column.levels or ()), len(column.order or ()), len(column.labels))
            if levels > value.levels:
                raise ValueError(
                    f"data.columns.{name} declares {levels:,} levels; the limit is {value.levels:,}, "
                    "set by data.limits.levels"
                )
        return value


class KnownFile(_Section):
    """What relates the levels of a grouping factor: a pedigree, or a covariance matrix, in a file."""

    pedigree: ShortText | None = Field(
        default=None, description="Table of animal, sire, dam; empty, NA or 0: unknown. Beside the study file"
    )
    matrix: ShortText | None = Field(
        default=None, description="Square table of covariances, the levels as header. Beside the study file"
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None, description="Digest of the file; another one is an error. Filled in by a run"
    )

    @property
    def source(self) -> str:
        """The file."""
        return self.pedigree or self.matrix or ""

    @model_validator(mode="after")
    def _one_of_both(self) -> KnownFile:
        if (self.pedigree is None) == (self.matrix is None):
            raise ValueError("give one of `pedigree: FILE` (animal, sire, dam) and `matrix: FILE`")
        return self


class Model(_Section):
    """The mixed model."""

    formula: FormulaText = Field(description="lme4's language: `y ~ x + (1 + x | g)`")
    method: Literal["REML", "ML"] = Field(default="REML", description="Criterion that is optimised")
    algorithm: Literal["newton", "em", "em-accelerated", "em-newton", "pls", "direct"] = Field(
        default="newton", description="How the optimum is found"
    )
    residual: ResidualText = Field(
        default=IID,
        description="Residual structure, in place of random effects or beside them: over visits "
        "`un(visit | id)`, us, cs, csh, toep, toeph, ar1, ar1h, ad, adh; in time `car1(day | id)`, in the "
        "plane `expsp(x, y | field, nugget=TRUE)`; a variance function `ident(f)`, `power(x)`, `exp(x)`, "
        "`power(fitted)`; or a product `ident(f) * cs(visit | id)` of a variance function and a correlation; "
        "iid: independent, of one variance",
    )
    weights: ColumnName | None = Field(default=None, description="Column of prior weights")
    offset: ColumnName | None = Field(default=None, description="Column of a known part of the response")
    contrasts: dict[str, Literal["treatment", "sum", "helmert", "poly", "diff", "sas"]] = Field(
        default_factory=dict, description="Coding of factors; treatment when left out"
    )
    known: dict[ShortText, KnownFile] = Field(
        default_factory=dict,
        description="Known covariances between the levels of grouping factors: `animal: {pedigree: ped.csv}` "
        "or `{matrix: K.parquet}`",
    )

    @property
    def response(self) -> str:
        """The response as the formula writes it."""
        return parse_formula(self.formula).response.text

    @property
    def response_column(self) -> str:
        """The column that the response is made of."""
        return parse_formula(self.formula).response.variables[0]

    @property
    def predictor_columns(self) -> list[str]:
        """The columns of the fixed part, then those of random slopes, then the times of the residuals."""
        formula, residual = parse_formula(self.formula), self.residual_structure
        slopes = [expression for bar in formula.random for term in bar.terms for expression in term]
        terms = [*(expression for term in formula.fixed for expression in term), *slopes]
        names = [name for expression in terms for name in expression.variables]
        subject: tuple[str, ...] = residual.group.names if residual and residual.group else ()
        if residual:
            names += [name for name in residual.columns() if name not in subject]
        return list(dict.fromkeys(names))

    @property
    def residual_structure(self) -> ResidualFormula | None:
        """The residual structure as read; None for independent residuals."""
        return parse_residual(self.residual)

    @property
    def groups(self) -> dict[str, list[str]]:
        """The columns of each grouping factor and of the subjects of a residual structure, by its label."""
        found = [bar.group for bar in parse_formula(self.formula).random]
        residual = self.residual_structure
        found += [residual.group] if residual and residual.group else []
        return {group.label: list(group.names) for group in found}


class RandomEffects(_Section):
    """How the random effects are chosen."""

    rule: Literal["fixed", "maximal", "parsimonious", "backward", "forward", "best"] = Field(
        default="fixed",
        description="fixed: as in model.formula; maximal: all that the design justifies; parsimonious: from "
        "there without correlations, then term by term, then correlations again; backward, forward: step by "
        "step down from there, or up from intercepts; best: the best candidate by the criterion",
    )
    candidates: Annotated[
        Annotated[Literal["auto"], Tag("text")]
        | Annotated[list[Candidate], Field(min_length=1), Tag("list")],
        Discriminator(_word_or_list),
    ] = Field(
        default="auto",
        description="Random parts such as (1 | g) or (x || g); rule best needs the list, the others show it",
    )
    criterion: Literal["lrt", "aic", "bic", "caic"] | None = Field(
        default=None,
        validate_default=True,
        description="Criterion of the choice: lrt (likelihood ratio tests, the default of parsimonious, "
        "backward and forward; not of best), aic (the default of the others), bic, caic (conditional AIC)",
    )
    alpha: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.2, description="Level of the tests, under criterion lrt: what has a larger p is left out"
    )
    simulate: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=0,
        description="Responses from which Type I error and power of the choice are simulated; 0: none",
    )

    @field_validator("candidates")
    @classmethod
    def _listed_for_best(cls, value: object, info: ValidationInfo) -> object:
        if value == "auto" and info.data.get("rule") == "best":
            raise ValueError("rule `best` needs a list, such as [(1 | g), (x || g), (x | g)]")
        return value

    @field_validator("criterion")
    @classmethod
    def _ordering_for_best(cls, value: object, info: ValidationInfo) -> object:
        rule = info.data.get("rule")
        if value == "lrt" and rule == "best":
            raise ValueError("rule `best` chooses by aic, bic or caic; tests order no list of candidates")
        return default_criterion(str(rule)) if value is None else value


class Inference(_Section):
    """Degrees of freedom and intervals."""

    ci: Literal["auto", "wald", "profile", "bootstrap"] = Field(
        default="auto",
        description="Method of the intervals; auto: Wald for coefficients, profiles for variances",
    )
    level: Annotated[float, Field(gt=0, lt=1)] = Field(default=0.95, description="Coverage of the intervals")
    df: Literal[
        "auto",
        "kenward-roger",
        "kenward-roger-observed",
        "satterthwaite",
        "unbounded",
        "containment",
        "inner-outer",
        "between-within",
        "residual",
        "normal",
    ] = Field(
        default="auto",
        description="Degrees of freedom; auto: Kenward-Roger where affordable, else Satterthwaite",
    )


def _read_prior(text: str) -> str:
    try:
        read_prior(text)
    except FitError as error:
        raise ValueError(str(error)) from None
    return text


def _rising(value: list[float]) -> list[float]:
    if not value[0] < value[1]:
        raise ValueError(f"two numbers are expected, the second above the first, found {value}")
    return value


Prior = Annotated[ShortText, AfterValidator(_read_prior)]
Region = Annotated[list[Finite], Field(min_length=2, max_length=2), AfterValidator(_rising)]


class PosteriorSection(_Section):
    """The posterior of the chosen model, beside its estimates."""

    draws: Annotated[int, Field(ge=100, le=1_000_000)] = Field(
        default=4000, description="Draws of the covariance parameters and fixed effects"
    )
    digits: Annotated[int, Field(ge=1, le=6)] | None = Field(
        default=None,
        description="Significant digits that means, medians and interval ends are to have; refused where the "
        "draws are too few for them, with how many would do",
    )
    priors: dict[ShortText, Prior] = Field(
        default_factory=dict,
        description="Priors by parameter (`Subject.sd.Days`, `Days`), by term (`Subject.sd`, `Subject.cor`) "
        "or for all (`sd`, `cor`, `beta`), such as half_normal(20), student_t(3, 0, 59.3), exponential(0.1), "
        "lkj(2), normal(0, 10); when left out those of brms, flat on coefficients",
    )
    rope: (
        Annotated[
            Annotated[Region, Tag("list")] | Annotated[dict[ShortText, Region], Tag("mapping")],
            Discriminator(_shape),
        ]
        | None
    ) = Field(
        default=None,
        description="Region of practical equivalence: [low, high] of the focus, or such by parameter",
    )


class MissingData(_Section):
    """What the answer is under other assumptions about responses that are missing."""

    assumptions: Annotated[
        list[Literal["tipping-point", "jump-to-reference", "copy-reference", "copy-increments"]],
        Field(min_length=1),
    ] = Field(
        default=["tipping-point"],
        description="tipping-point: how far imputed responses must be shifted for the conclusion to turn; "
        "the others: those who left an arm go on as the reference arm does, in a model of repeated visits",
    )
    arm: ColumnName | None = Field(
        default=None,
        description="Column of the arms, part of the formula and the same on all rows of a subject",
    )
    reference: Level | None = Field(default=None, description="Reference arm: a level of that column")
    shifted: (
        Annotated[
            Annotated[Level, Tag("text")] | Annotated[list[Level], Field(min_length=1), Tag("list")],
            Discriminator(_word_or_list),
        ]
        | None
    ) = Field(
        default=None,
        description="Arm, or arms, whose imputed responses are shifted; all when left out",
    )
    gaps: bool = Field(
        default=False,
        description="Whether responses missing before the last one of their subject are shifted too",
    )
    covariance: Literal["model", "common", "by-arm"] = Field(
        default="model",
        description="Covariance matrices of the arms in reference-based imputation: those of the model, "
        "one for all, or one for each; where the model has others it is fitted again",
    )
    imputations: Annotated[int, Field(ge=2, le=10_000)] = Field(
        default=100, description="Number of imputations"
    )

    _named_once = field_validator("assumptions")(_once)

    @model_validator(mode="after")
    def _arms_named(self) -> MissingData:
        based = [each for each in self.assumptions if each != "tipping-point"]
        lacking = [name for name in ("arm", "reference") if getattr(self, name) is None]
        if based and lacking:
            raise ValueError(
                f"`{based[0]}` needs arm, the column of the arms, and reference, a level of it: "
                f"{' and '.join(lacking)} is not given"
            )
        for name in ("reference", "shifted"):
            if getattr(self, name) is not None and self.arm is None:
                raise ValueError(f"`{name}` is a level of an arm: give `arm`, its column, too")
        return self


class Report(_Section):
    """What the report answers first, and its forms."""

    focus: ColumnName | None = Field(
        default=None,
        description="Term, or column of a term, that the headline is about; by default the first",
    )
    question: OneLine | None = Field(
        default=None, description="The question in the author's words, printed above the answer"
    )
    contrast: (
        Annotated[
            Annotated[OneLine, Tag("text")]
            | Annotated[list[Level], Field(min_length=2, max_length=2), Tag("list")],
            Discriminator(_word_or_list),
        ]
        | None
    ) = Field(
        default=None,
        description="Two levels of the focus, [first, second] or `first - second`: the mean of the "
        "first less "
        "that of the second is the headline, and what a sweep follows",
    )
    at: dict[ShortText, Value] = Field(
        default_factory=dict,
        description="Values of other columns of the fixed part at which the focus is asked, such as "
        "{visit: w8}",
    )
    pdf: Literal[False] = Field(default=False, description="A PDF beside the HTML; print the page instead")


class Settings(_Section):
    """A study."""

    model_config = ConfigDict(title="lmmkit study", serialize_by_alias=True, validate_by_alias=True)

    version: Literal[1] = Field(default=1, alias="schema", description="Version of this schema")
    title: OneLine | None = Field(
        default=None, description="Title of the report; the file's name when left out"
    )
    data: Data
    model: Model
    random_effects: RandomEffects = Field(default_factory=RandomEffects)
    inference: Inference = Field(default_factory=Inference)
    posterior: PosteriorSection | None = Field(
        default=None, description="Draw the posterior too, beside the estimates; not when left out"
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        default=20240101, description="Seed of everything random"
    )
    report: Report = Field(default_factory=Report)
    missing_data: MissingData | None = Field(
        default=None,
        description="Sensitivity of the answer to responses that are missing; none when left out",
    )

    @property
    def simulation(self) -> dict[str, Any] | None:
        """What the simulation of the choice depends on beside the choice; None where none is asked for."""
        if not self.random_effects.simulate:
            return None
        focus, tests = self.report.focus, self.inference
        return {"focus": focus, "df": tests.df, "level": round(1 - tests.level, 12), "seed": self.seed}
