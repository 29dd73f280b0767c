"""docs/benchmarks.md, written from the figures of one run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

from fits import LIMIT, ROUND_LIMIT
from workloads import WORKLOADS

Record = dict[str, Any]
Figures = dict[str, Any]

INTRODUCTION = """\
# Benchmarks

Written by `make bench`; every number comes from one run on one machine, in `benchmarks/results.json`, those
of repeated visits and of serial correlation from later runs on it.

Each fit is a process of its own and the first call in it, on one core with one thread; the rounds are
interleaved. Seconds are CPU seconds of the whole call, from a DataFrame and a formula; imports and the
conversion to the table that an engine asks for are outside. "lmmkit engine" is the engine alone, its design
made before the clock starts. `>` is a process ended at its limit of {limit} CPU seconds, `-` a model that the
engine does not offer; a fit over {long:.0f} s ran once.

All models are fitted by REML, except by gpboost: it offers ML only, slopes without correlations (so its a, c,
d and e are smaller models), and takes matrices instead of a formula. statsmodels and mixedlm-rs take one
grouping factor. Evaluations are counted as each engine counts them.

{machine}. {versions}.
"""

VISITS = (
    "`y ~ arm * visit + baseline` by REML, residuals `un(visit | patient)`, with dropout; of glmmTMB "
    "`us(0 + visit | patient)` with `dispformula = ~0`. CPU seconds of the call, certificate apart.\n"
)
SERIAL = (
    "`y ~ arm * day` by REML at uneven times, residuals `car1(day | animal)`, with `(1 | animal)` where the "
    "name says so; of nlme `gls` and `lme` with `corCAR1`. CPU seconds of the call, certificate apart.\n"
)


def page(figures: Figures) -> str:
    """The whole text."""
    fits = figures["fits"]
    engines = list(dict.fromkeys(record["engine"] for record in fits))
    names = list(dict.fromkeys(record["workload"] for record in fits))
    cells = {
        (name, engine): [r for r in fits if (r["workload"], r["engine"]) == (name, engine)]
        for name in names
        for engine in engines
    }

    def section(title: str, cell: Callable[[str, list[Record]], str]) -> list[str]:
        rows = [[f"**{name}**", *(cell(name, cells[name, engine]) for engine in engines)] for name in names]
        return [f"\n## {title}\n", *_table(["", *engines], rows)]

    best = {name: _best(record for record in fits if record["workload"] == name) for name in names}
    base = {name: _median(cells[name, engines[0]], "seconds") for name in names}
    lines = [
        INTRODUCTION.format(
            limit=LIMIT, long=ROUND_LIMIT, machine=figures["machine"], versions=_versions(fits)
        ),
        *_models(names),
        *section("CPU seconds, median", lambda _, records: _seconds(records)),
        *section(f"As multiples of {engines[0]}", lambda name, records: _ratio(records, base[name])),
        *section("Deviance above the lowest", lambda name, records: _excess(records, best[name])),
        *section("Evaluations", lambda _, records: _plain(records, "evaluations", "{:.0f}")),
        *section("Peak memory of the process, MB", lambda _, records: _plain(records, "peak_mb", "{:.0f}")),
        *_trials("Repeated visits", VISITS, figures.get("visits", [])),
        *_trials("Serial correlation", SERIAL, figures.get("serial", [])),
        *_methods(figures.get("methods", [])),
        *_startup(figures.get("startup", {})),
        *_sweep(figures.get("sweep", {})),
    ]
    return "\n".join(lines) + "\n"


def _models(names: Iterable[str]) -> list[str]:
    rows = [
        [f"**{name}**", f"`{WORKLOADS[name].formula}`".replace("|", "\\|"), WORKLOADS[name].rows]
        for name in names
    ]
    return ["## Models\n", *_table(["", "formula", "data"], rows)]


def _startup(times: dict[str, dict[str, float]]) -> list[str]:
    if not times:
        return []
    rows = [[name, f"{one['elapsed']:.2f}", f"{one['cpu']:.2f}"] for name, one in times.items()]
    base, ours, empty, run = (one["elapsed"] for one in times.values())
    return [
        "\n## Import and workbook\n",
        *_table(["", "elapsed s", "CPU s"], rows),
        f"\n`import lmmkit` takes {ours - base:.2f} s more than numpy, scipy and pandas. The run of the "
        f"sleepstudy takes {run / empty:.2f} times as long as papermill needs for four empty notebooks.",
    ]


def _trials(title: str, what: str, records: list[Record]) -> list[str]:
    """A row for each trial and engine."""
    if not records:
        return []
    head = [
        "trial",
        "rows",
        "engine",
        "s",
        "ratio",
        "certificate s",
        "deviance",
        "evaluations",
        "converged",
        "MB",
    ]
    keys = list(dict.fromkeys((record["trial"], record["engine"]) for record in records))
    cells = {key: [r for r in records if (r["trial"], r["engine"]) == key] for key in keys}
    rows = [_trial(cells[key], _median(cells[key[0], "lmmkit"], "seconds")) for key in keys]
    return [f"\n## {title}\n", what, *_table(head, rows)]


def _trial(records: list[Record], base: float | None) -> list[str]:
    first = records[0]
    return [
        first["trial"],
        f"{first['rows']:,}",
        first["version"],
        _seconds([{"status": "ok", **record} for record in records]),
        _ratio(records, base),
        _plain(records, "certificate", "{:.3g}"),
        f"{first['deviance']:.6f}",
        _plain(records, "evaluations", "{:.0f}"),
        "yes" if first["converged"] else "no",
        _plain(records, "peak_mb", "{:.0f}"),
    ]


def _methods(records: list[Record]) -> list[str]:
    if not records:
        return []
    rows = [
        _method([record for record in records if record["case"] == case])
        for case in dict.fromkeys(record["case"] for record in records)
    ]
    head = ["model", "method", "lmmkit s", "peer", "its s", "ratio", "lmmkit MB", "its MB"]
    return [
        "\n## What follows a fit\n",
        "CPU seconds of the method alone, the fit and imports apart; of a bootstrap, for each refit.\n",
        *_table(head, rows),
    ]


def _method(records: list[Record]) -> list[str]:
    ours = [record for record in records if record["engine"] == "lmmkit"]
    theirs = [record for record in records if record["engine"] != "lmmkit"]
    seconds, peers = _median(ours, "each"), _median(theirs, "each")
    return [
        ours[0]["case"],
        ours[0]["method"],
        f"{seconds:.3g}",
        theirs[0]["version"] if theirs else "",
        "" if peers is None else f"{peers:.3g}",
        _ratio(theirs, seconds, "each"),
        _plain(ours, "peak_mb", "{:.0f}"),
        _plain(theirs, "peak_mb", "{:.0f}"),
    ]


def _sweep(times: dict[str, float]) -> list[str]:
    if not times:
        return []
    return [
        "\n## Sweep\n",
        f"{times['cells']} cells of the sleepstudy with two workers: {times['sweep']:.0f} s; again, with all "
        f"of them made: {times['again']:.1f} s. A plain loop of papermill over the same notebooks takes "
        f"{times['papermill, a cell']:.1f} s a cell, "
        f"{times['papermill, all cells'] / times['sweep']:.1f} times as long in all.",
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _versions(fits: Iterable[Record]) -> str:
    return "; ".join(dict.fromkeys(f"{r['engine']} {r['version']}" for r in fits if "version" in r))


def _median(records: Iterable[Record], key: str) -> float | None:
    values = [record[key] for record in records if record.get(key) is not None]
    return median(values) if values else None


def _best(records: Iterable[Record]) -> float | None:
    return min((r["deviance"] for r in records if r.get("deviance") is not None), default=None)


def _absent(records: list[Record]) -> str:
    status = records[0]["status"] if records else "not offered"
    return {"over limit": f"> {LIMIT}", "not offered": "-", "ok": ""}.get(status, status)


def _seconds(records: list[Record]) -> str:
    middle = _median(records, "seconds")
    return _absent(records) if middle is None else f"{middle:.3g}"


def _ratio(records: list[Record], base: float | None, key: str = "seconds") -> str:
    middle = _median(records, key)
    return "" if middle is None or base is None else f"{middle / base:.3g}"


def _excess(records: list[Record], best: float | None) -> str:
    deviance = _median(records, "deviance")
    return "" if deviance is None or best is None else f"{deviance - best:.1e}"


def _plain(records: list[Record], key: str, form: str) -> str:
    value = _median(records, key)
    return "" if value is None else form.format(value)
