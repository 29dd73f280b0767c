"""`Step`: what a notebook reads its settings and inputs from, and keeps its outputs with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import BaseModel

from lmmkit.errors import RunError, StudyError
from lmmkit.model.design_audit.design_audit import DesignAudit, design_audit
from lmmkit.model.fit import Fit, load
from lmmkit.model.selection.error_rates import ErrorRates, error_rates
from lmmkit.model.selection.ledger import Selection
from lmmkit.model.selection.select import select
from lmmkit.model.table.known import Known, read_one
from lmmkit.study.data.known_files import read_known_files
from lmmkit.study.data.load_table import PreparedData, frame_bytes, read_frame, schema_of, with_gaps
from lmmkit.study.data.sources import Base
from lmmkit.study.files.study import design_options, fit_options
from lmmkit.study.pages.marks import MarkedText, capital, fill
from lmmkit.study.pages.seen_names import Labels, labels_of
from lmmkit.study.records.artifacts import csv_bytes, json_bytes, read_csv, read_json, sha256, write_bytes
from lmmkit.study.records.keys import PROVENANCE
from lmmkit.study.records.manifest import ROOT, file_in, load_manifest, root_digest, safe_path
from lmmkit.study.records.temporary import temporary_folder
from lmmkit.study.runs.plan import Plan
from lmmkit.study.steps.figures import Figure, figure_from_dict

if TYPE_CHECKING:
    from lmmkit.model.posterior.posterior import Posterior


INCOMPLETE = "incomplete.parquet"  # rows that were dropped for a missing value


class Declared:
    """Settings of a study, of which only the declared keys can be read."""

    def __init__(self, section: BaseModel, reads: frozenset[str], step: str, parent: str = ""):
        self._section, self._reads, self._step, self._parent = section, reads, step, parent

    def __contains__(self, key: str) -> bool:
        return key in self._reads

    def __getattr__(self, name: str) -> Any:
        key = f"{self._parent}{name}"
        if not hasattr(self._section, name):
            raise StudyError(f"a study has no key {key}; see docs/study.schema.json")
        value = getattr(self._section, name)
        if key in self._reads:
            return value
        if any(read.startswith(f"{key}.") for read in self._reads):
            return Declared(value, self._reads, self._step, f"{key}.")
        raise StudyError(
            f"{self._step} reads {key}, which its notebook does not declare under `lmmkit.reads`"
        )


@dataclass(frozen=True)
class Step:
    """One step of a study's run, as its notebook sees it.

    Attributes:
        name: Such as `03_fit`.
        plan: The run that it is a step of.
        folder: The run folder.
        settings: The study's settings, as far as the notebook declares them.
    """

    name: str
    plan: Plan = field(repr=False)
    folder: Path = field(repr=False)
    settings: Declared = field(repr=False)

    @property
    def title(self) -> str:
        """The study's title."""
        return self.settings.title

    @property
    def seed(self) -> int:
        """The study's seed."""
        return self.settings.seed

    @property
    def base(self) -> Base:
        """Where the data may be read from, for `load_table`."""
        return self.plan.base

    def table(self) -> pd.DataFrame:
        """The prepared data, factors with their levels in order."""
        return read_frame(self._earlier("data.parquet"), self.schema())

    def table_with_gaps(self) -> pd.DataFrame:
        """The prepared data with the rows that were dropped for a missing value, in the order of the file."""
        kept = self.table()
        if not self.list(INCOMPLETE):
            return kept
        return with_gaps(kept, pd.read_parquet(self._earlier(INCOMPLETE), engine="pyarrow"))

    def schema(self) -> dict[str, Any]:
        """What the columns of the prepared data are."""
        return self.json("data.schema.json")

    def labels(self) -> Labels:
        """What readers see for names of columns and levels, of coefficients too where the run has them."""
        if "data" in self.settings:
            columns = self.settings.data.columns
            return labels_of({name: spec.model_dump() for name, spec in columns.items()})
        found = labels_of({facts["column"]: facts for facts in self.schema()["columns"]})
        names = self._earlier("tables/names.csv")
        return found.with_names(read_csv(names)) if names.is_file() else found

    def json(self, path: str) -> Any:
        """A JSON file of an earlier step."""
        return read_json(self._earlier(path))

    def csv(self, path: str) -> pd.DataFrame:
        """A table of an earlier step."""
        return read_csv(self._earlier(path))

    def text(self, path: str) -> str:
        """A text file of an earlier step."""
        try:
            return self._earlier(path).read_text(encoding="utf-8")
        except OSError:
            raise RunError(
                f"{path} is not in {self.folder}: the step that writes it has not been run"
            ) from None

    def list(self, pattern: str) -> list[str]:
        """Paths in the run folder that match a pattern such as `tables/*.csv`, sorted."""
        return sorted(
            path.relative_to(self.folder).as_posix() for path in self.folder.glob(safe_path(pattern))
        )

    def fit(self) -> Fit:
        """The fit of step 03, read back; nothing is fitted again."""
        return load(self._earlier("fit"))

    def figures(self) -> list[Figure]:
        """The pictures of the run so far, by step and name."""
        folder = self.folder / "figures"
        found = [figure_from_dict(self.json(path), folder) for path in self.list("figures/*.json")]
        return sorted(found, key=lambda figure: figure.step)

    def code(self) -> list[tuple[str, str, list[str]]]:
        """Name, title and code cells of every earlier step, for one that declares `provenance`."""
        self._check_provenance()
        return [(book.name, book.title, book.code()) for book in self.plan.earlier(self.name)]

    def provenance(self) -> dict[str, Any]:
        """Where the numbers come from: data, code, versions, commands; for a step that declares it."""
        self._check_provenance()
        return self.plan.provenance()

    def save_known(self) -> dict[str, Known]:
        """Keep what the study knows of its levels: pedigrees and matrices, as the tables that `lmm` takes."""
        tables = read_known_files(self.settings.model.known, self.base)
        read = {group: read_one(table, group) for group, table in tables.items()}
        names = [f"known-{i}.parquet" for i in range(len(read))]
        for name, known in zip(names, read.values(), strict=True):
            self._write(name, frame_bytes(known.frame()))
        self.save_json("known.json", dict(zip(read, names, strict=True)))
        return read

    def known(self) -> dict[str, Known] | None:
        """The known covariances of the first step, as `lmm` takes them; None where there are none."""
        held: dict[str, str] = self.json("known.json")
        read = {group: pd.read_parquet(self._earlier(name)) for group, name in held.items()}
        return {group: read_one(table, group) for group, table in read.items()} or None

    def fit_options(self) -> dict[str, Any]:
        """The arguments of `lmm` that the study sets, known covariances among them."""
        return {**fit_options(self.settings.model), "known": self.known()}

    def save_data(self, table: PreparedData) -> None:
        """Keep the prepared data, what its columns are, and the ledger of rows."""
        self._write("data.parquet", frame_bytes(table.frame))
        self.save_json("data.schema.json", schema_of(table))
        self._write("rows.csv", csv_bytes(table.rows))
        if len(table.incomplete):
            self._write(INCOMPLETE, frame_bytes(table.incomplete))

    def save_json(self, name: str, value: object) -> None:
        """Keep a value as JSON."""
        self._write(name, json_bytes(value))

    def save_table(self, name: str, frame: pd.DataFrame) -> None:
        """Keep a table as `tables/<name>.csv`."""
        self._write(f"tables/{name}.csv", csv_bytes(frame))

    def save_figure(
        self, name: str, drawn: Any, *, alt: MarkedText | str, caption: MarkedText | str
    ) -> Figure:
        """Keep a picture as `figures/<name>.svg`, with the words that stand for it, names by their labels.

        Args:
            name: Name of the picture.
            drawn: Figure or axes of matplotlib, or a grid of seaborn.
            alt: What is to be seen, for those who cannot see it.
            caption: The finding, in a sentence.
        """
        from lmmkit.plots import svg_bytes  # loads matplotlib

        path = f"figures/{name}.svg"
        labels = self.labels()
        seen, found = (capital(labels.told(fill("{}", text))) for text in (alt, caption))
        figure = Figure(name, self.folder / path, seen, found, self.name)
        self._write(path, svg_bytes(drawn))
        self.save_json(f"figures/{name}.json", figure.to_dict())
        return figure

    def save_fit(self, fit: Fit) -> None:
        """Keep a fit: its numbers in `fit.json`, what `fit` reads in `fit/`, its search in `trace.csv`."""
        with temporary_folder() as folder:
            for path in sorted(fit.save(Path(folder) / "fit").iterdir()):
                self._write(f"fit/{path.name}", path.read_bytes())
        self._write("fit.json", (self.folder / "fit/fit.json").read_bytes())
        self._write("trace.csv", csv_bytes(fit.trace))

    def save_posterior(self, found: Posterior) -> None:
        """Keep a posterior: its draws as a table, how they were made, the model for other programs."""
        frame = found.draws_frame().assign(log_weight=found.draws.log_weights)
        self._write("posterior/draws.parquet", frame_bytes(frame))
        self.save_json("posterior/posterior.json", found.to_dict())
        self.save_json("posterior/other_programs.json", found.other_programs())

    def save_root(self) -> None:
        """Keep the root digest of all that the steps before this one have left, for the report to print."""
        manifest, later = load_manifest(self.folder), self.plan.since(self.name)
        records = [record for record in manifest.steps if record.step not in later] if manifest else []
        files = [file for record in records for file in record.files]
        self.save_json(ROOT, {"files": len(files), "root": root_digest(files)})

    def save_report(self, html: str) -> None:
        """Keep the report."""
        self._write("report.html", html.encode())

    def _check_provenance(self) -> None:
        notebook = next(book for book in self.plan.notebooks if book.name == self.name)
        if PROVENANCE not in notebook.reads:
            raise StudyError(
                f"{self.name} reads {PROVENANCE}, which its notebook does not declare under `lmmkit.reads`"
            )

    def _earlier(self, path: str) -> Path:
        return file_in(self.folder, path)

    def _write(self, path: str, content: bytes) -> None:
        """Write a file of this step; what a finished step left can only be written as it was."""
        manifest = load_manifest(self.folder)
        known = manifest.files().get(safe_path(path)) if manifest else None
        if known is None:
            write_bytes(file_in(self.folder, path), content)
        elif known.sha256 != sha256(content):
            raise RunError(
                f"{path} stands in {self.folder} already with other content; a finished step is not changed. "
                "Leave `run` empty to work by hand, or start `lmmkit run --force`"
            )


def audit_structure(
    settings: Any, table: pd.DataFrame, known: Mapping[str, Any] | None = None
) -> DesignAudit:
    """Returns what a study's design can tell of random effects, before any model is fitted.

    Args:
        settings: Settings of a step that declares `model`.
        table: The prepared data.
        known: Known covariances of levels, by grouping factor.
    """
    model = settings.model
    return design_audit(model.formula, table, **design_options(model), known=known)


def choose_structure(settings: Any, table: pd.DataFrame, known: Mapping[str, Any] | None = None) -> Selection:
    """Returns the random effects that a study's rule chooses, with every candidate.

    Args:
        settings: Settings of a step that declares `model`, `random_effects` and `seed`.
        table: The prepared data.
        known: Known covariances of levels, by grouping factor.

    Raises:
        FitError: no candidate can be fitted.
    """
    effects, model = settings.random_effects, settings.model
    return select(
        model.formula,
        table,
        rule=effects.rule,
        candidates=effects.candidates,
        criterion=effects.criterion,
        alpha=effects.alpha,
        seed=settings.seed,
        **fit_options(model),
        known=known,
    )


def simulate_choice(
    settings: Any, table: pd.DataFrame, known: Mapping[str, Any] | None = None
) -> ErrorRates | None:
    """Returns Type I error and power of a study's choice of random effects; None where none are asked for.

    Args:
        settings: Settings of a step that declares `model`, `random_effects` and `simulation`.
        table: The prepared data.
        known: Known covariances of levels, by grouping factor.

    Raises:
        FitError: what is asked for cannot be simulated.
    """
    effects, model, asked = settings.random_effects, settings.model, settings.simulation
    if asked is None:
        return None
    return error_rates(
        model.formula,
        table,
        rule=effects.rule,
        candidates=effects.candidates,
        criterion=effects.criterion,
        alpha=effects.alpha,
        n=effects.simulate,
        reml=model.method == "REML",
        **asked,
        **design_options(model),
        known=known,
    )
