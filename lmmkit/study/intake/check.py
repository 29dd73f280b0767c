"""All that a run of a study would refuse, drop or should say, found before anything is fitted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lmmkit.engine.search.algorithms import refuse_em
from lmmkit.engine.setup import set_up
from lmmkit.errors import Findings, StudyError, did_you_mean
from lmmkit.escape import terminal
from lmmkit.model.design.design import Design, build_design
from lmmkit.model.design_audit.design_audit import DesignAudit, audit_of
from lmmkit.model.dialects.study_words import in_study_words
from lmmkit.model.formula.formula import parse_candidate, parse_formula
from lmmkit.model.inference.degrees_of_freedom import check_method
from lmmkit.model.means.focus import find_focus, focus_term, unknown_focus
from lmmkit.model.missing_data.about_missing import refuse
from lmmkit.model.selection.error_rates import check_simulation
from lmmkit.model.table.known import known_of, read_one
from lmmkit.study.data.known_files import read_known_files
from lmmkit.study.data.load_table import PreparedData, load_table
from lmmkit.study.data.sources import Base
from lmmkit.study.files.faults import raise_faults
from lmmkit.study.files.schema import Settings
from lmmkit.study.files.study import design_options, placed, raise_placed, resolve, without
from lmmkit.study.files.yaml12 import read_yaml
from lmmkit.study.runs.plan import Plan, base_of, make_plan


@dataclass(frozen=True)
class Checked:
    """What a run of a study starts from.

    Attributes:
        table: The prepared data.
        design: The design of the study's formula.
        notices: What the user should look at, in sentences.
    """

    table: PreparedData
    design: Design
    notices: tuple[str, ...]

    def text(self, plan: Plan) -> str:
        """Rows, notices, design and key, for a terminal."""
        kept = f"{len(self.table.frame):,} of {len(self.table.rows):,} rows kept"
        good = f"{plan.study.path.name} is good. {self.table.source}: {kept}. Key of its run: {plan.key}"
        said = [good, *(f"Notice: {notice}" for notice in self.notices)]
        parts = [*map(terminal, said), str(replace(self.design, warnings=())), str(self.audit())]
        return "\n\n".join(part for part in parts if part)

    def audit(self) -> DesignAudit:
        """What the design can tell of random effects, without what is said of the design in any case."""
        found = audit_of(self.design)
        fresh = [said for said in map(in_study_words, found.notices) if said not in self.notices]
        return replace(found, relations=found.relations[:0], notices=tuple(fresh))


def check_file(path: Path, *, allow_outside: bool) -> tuple[Plan, Checked]:
    """A study file, its data and its model, with all that is wrong at once.

    Where keys of the file are wrong in themselves, the rest is checked without them, as far as it can be.

    Raises:
        StudyError: All that a run would refuse, each with its place in the study file.
    """
    document = read_yaml(path)
    _, faults = resolve(document, path.stem, {})
    if not faults:
        plan = make_plan(path, allow_outside=allow_outside)
        return plan, check_study(plan)
    rest = without(document, faults)
    settings, others = (None, []) if rest is None else resolve(rest, path.stem, {})
    if settings is not None and not others:
        base = base_of(path.resolve().parent, allow_outside=allow_outside)
        _, found = _checked(settings, base, whole=all(fault.key[0] != "data" for fault in faults))
        wrong = [fault.key for fault in faults]
        errors = [error for error in found.errors if not any(error.about[: len(key)] == key for key in wrong)]
        faults += placed(settings, {}, document, errors)
    raise_faults(path, faults)
    raise AssertionError("there are faults")


def check_study(plan: Plan) -> Checked:
    """Everything up to the fit, with all that is wrong at once.

    Raises:
        StudyError: All that a run would refuse, each with its place in the study file.
    """
    checked, found = _checked(plan.study.settings, plan.base, whole=True)
    raise_placed(plan.study, plan.overrides, found.errors)
    assert checked is not None
    return checked


def _checked(settings: Settings, base: Base, *, whole: bool) -> tuple[Checked | None, Findings]:
    """What a run would start from, and all that it would refuse; of the data alone where not whole."""
    found, checked, table = Findings(), None, None
    with found.part("report", "focus"):
        _check_focus(settings)
    with found.part("data"):
        table = load_table(settings.data, base)
    if table is None or not whole:
        with found.part("inference", "df"):
            check_method(settings.inference.df, None, reml=settings.model.method == "REML")
    else:
        checked = _check_model(settings, table, base, found)
    return checked, found


def _check_focus(settings: Settings) -> None:
    """Refuse a focus that names nothing of the formula, the data set aside."""
    focus = settings.report.focus
    if focus is None or "[" in focus:  # a coefficient, which the data must tell
        return
    formula = parse_formula(settings.model.formula)
    if focus_term(formula, focus) is None:
        raise StudyError(str(unknown_focus(focus, formula)))


def _check_model(settings: Settings, table: PreparedData, base: Base, found: Findings) -> Checked | None:
    """The design of the formula and of each candidate, and what can be known of the fit and its tests."""
    model, options = settings.model, design_options(settings.model)
    design, notices = None, list(table.notices)
    options["known"] = None
    with found.part("model"):
        tables = read_known_files(model.known, base)
        options["known"] = {group: read_one(one, group) for group, one in tables.items()} or None
        design = build_design(model.formula, table.frame, **options)
        notices += [*design.warnings, *_dropped(design)]
    if model.residual_structure is not None:
        with found.part("model", "algorithm"):
            refuse_em(model.algorithm, "the parameters of a residual structure")
    with found.part("inference", "df"):
        check_method(settings.inference.df, design, reml=model.method == "REML")
    if design is None:
        return None
    if settings.missing_data is not None:
        with found.part("missing_data"):
            refuse(design, settings.missing_data)
    report = settings.report
    if not any(error.about[:1] == ("report",) for error in found.errors):
        with found.part("report", "focus"):
            find_focus(design, report.focus)
            with found.part("report", "contrast"):
                find_focus(design, report.focus, report.contrast)
            with found.part("report", "at"):
                find_focus(design, report.focus, None, report.at)
    effects = settings.random_effects
    if effects.simulate:
        with found.part("random_effects", "simulate"):
            check_simulation(design, effects.rule, effects.criterion, effects.simulate)
    _check_posterior(settings, design, found)
    notices += _candidates(settings, table, options, found)
    return Checked(table, design, tuple(dict.fromkeys(map(in_study_words, notices))))


def _check_posterior(settings: Settings, design: Design, found: Findings) -> None:
    """Refuse priors and regions of what the model does not have; the rest is told when it is drawn."""
    asked = settings.posterior
    if asked is None:
        return
    names = list(design.fixed_names)
    several = {"sd", "cor", "beta", "sigma", "Residual.sd"}
    for term in design.random:
        own = term.structure.natural_names(term.names)
        names += [f"{term.group}.{name}" for name in own]
        several |= {f"{term.factor}.{name}" for name in own}
        kinds = {natural.kind for natural in term.structure.naturals}
        several |= {f"{of}.{kind}" for of in (term.group, term.factor) for kind in kinds}
    if design.residual is not None:
        plain = design.residual.names
        names += [name for each in plain for name in (each, f"Residual.{each}")]
        several |= {f"Residual.{kind}" for kind in ("sd", "cor", "range", "share", "exponent")}
    names.append("Residual.sd")
    regions = asked.rope if isinstance(asked.rope, dict) else {}
    for key, given, known in (("priors", asked.priors, {*names, *several}), ("rope", regions, {*names})):
        for name in given:
            with found.part("posterior", key, name):
                if name not in known:
                    near = did_you_mean(name, names) or f"; it has {', '.join(names[:12])}"
                    raise StudyError(f"the model has no parameter {name}{near}")


def _dropped(design: Design) -> Iterator[str]:
    """Sentences about columns of X that the fit leaves out.

    Raises:
        FitError: The model cannot be estimated from these data.
    """
    kept = set_up(design.problem, reml=False).prepared.kept  # the same by either method
    names = [name for i, name in enumerate(design.fixed_names) if i not in kept]
    if names:
        others = [name for i, name in enumerate(design.fixed_names) if i in kept]
        one = len(names) == 1
        yield (
            f"{', '.join(f'`{name}`' for name in names)} follow{'s' if one else ''} from "
            f"{', '.join(f'`{name}`' for name in others[:12])} in these rows and "
            f"{'has' if one else 'have'} no coefficient of {'its' if one else 'their'} own: the fit leaves "
            f"{'it' if one else 'them'} out"
        )


def _candidates(
    settings: Settings, table: PreparedData, options: Mapping[str, Any], found: Findings
) -> Iterator[str]:
    """Sentences about candidates that cannot be fitted; all of them failing is a fault of a choice."""
    effects, base, failed = settings.random_effects, parse_formula(settings.model.formula), Findings()
    listed = [] if isinstance(effects.candidates, str) else effects.candidates
    for number, text in enumerate(listed):
        before = len(failed.errors)
        with failed.part("random_effects", "candidates", number):
            candidate = parse_candidate(text, base)
            given: dict[str, Any] = {**options, "known": known_of(options["known"], candidate)}
            build_design(candidate, table.frame, **given)
        for error in failed.errors[before:]:
            yield f"the candidate {text} cannot be fitted: {error}"
    if effects.rule == "best" and len({error.about[:3] for error in failed.errors}) == len(listed):
        found.errors += failed.errors
