"""A study looked over without running it: its file, its data, its design; nothing is fitted."""

from __future__ import annotations

from lmmkit.model.design.design import build_design
from lmmkit.study.data.load_table import load_table
from lmmkit.study.files.study import design_options
from lmmkit.study.runs.plan import Plan


def check_study(plan: Plan) -> str:
    """What a study's run would start from: rows, design, key.

    Raises:
        DataError: the data are not as declared, or cannot be used as the model asks.
        FormulaError: a formula or an expression asks for what the data do not hold.
        FitError: a formula asks for what cannot be estimated.
    """
    settings = plan.study.settings
    table = load_table(settings.data, plan.base)
    design = build_design(settings.model.formula, table.frame, **design_options(settings.model))
    kept = f"{len(table.frame):,} of {len(table.rows):,} rows kept"
    return f"{plan.study.path.name} is good. {table.source}: {kept}. Key of its run: {plan.key}\n\n{design}"
