"""Models with correlated residuals solved in 60-digit arithmetic, straight from the density of the data.

    python solve_in_60_digits.py        writes solved.json beside it

Nothing of lmmkit is used. R is written down entry by entry, sums are taken subject by subject in decimal
arithmetic, and Newton's method on differences with a step of 1e-15 (error of a gradient 1e-30) goes from a
start in doubles until its step is below 1e-25. `gls.json` has the same optima from python-flint in 100 digits
for the structures that nlme fits; a test asserts that the two programs agree.
"""

from __future__ import annotations

import csv
import json
from decimal import Decimal, getcontext
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

getcontext().prec = 60
HERE = Path(__file__).parent
AGES = ["a08", "a10", "a12", "a14"]
PI2 = Decimal("6.2831853071795864769252867665590057683943387987502116419498892")
STEP = Decimal("1e-15")
LEFT_OUT = [  # rows that are missing in the models with dropout: subject and age from which on
    ("F03", 2), ("F07", 3), ("F10", 1), ("M02", 3), ("M05", 2), ("M09", 1), ("M11", 3), ("M14", 2),
]  # fmt: skip


class Model:
    """One structure: names of its parameters, and R of a subject from them."""

    def __init__(self, name, residual, formula, columns, *, kind, sds="one", by=False, dropout=False):
        self.name, self.residual, self.formula, self.columns = name, residual, formula, columns
        self.kind, self.sds, self.by, self.dropout = kind, sds, by, dropout

    def parameters(self):
        """Names as lmmkit prints them, with a start."""
        out = []
        for group in ("Female", "Male") if self.by else ("",):
            prefix = f"{group}." if group else ""
            first = not group or group == "Female"
            if self.sds == "sex":
                out.append(("ratio.Male", 1.0))
            elif self.sds == "age":
                out += [(f"{prefix}ratio.{age}", 1.0) for age in AGES[first:]]
            elif not first:
                out.append((f"{prefix}ratio", 1.0))
            if self.kind in ("cs", "ar1"):
                out.append((f"{prefix}rho", 0.5))
            elif self.kind == "toep":
                out += [(f"{prefix}rho.{lag}", 0.6 - 0.05 * lag) for lag in (1, 2, 3)]
            elif self.kind == "ad":
                out += [(f"{prefix}rho.{a}.{b}", 0.6) for a, b in pairwise(AGES)]
            elif self.kind == "un":
                out += [(f"{prefix}cor.{a}.{b}", 0.6) for a, b in combinations(AGES, 2)]
        return out

    def R(self, value, sex, places):
        """Entry by entry."""
        prefix = f"{sex}." if self.by else ""

        def sd(place):
            if self.sds == "sex":
                return value.get(f"ratio.{sex}", 1)
            if self.sds == "age":
                return value.get(f"{prefix}ratio.{AGES[place]}", 1)
            return value.get(f"{prefix}ratio", 1)

        def c(s, t):
            if self.kind == "ident":
                return 0
            if self.kind == "cs":
                return value[f"{prefix}rho"]
            if self.kind == "ar1":
                return value[f"{prefix}rho"] ** (t - s)
            if self.kind == "toep":
                return value[f"{prefix}rho.{t - s}"]
            if self.kind == "un":
                return value[f"{prefix}cor.{AGES[s]}.{AGES[t]}"]
            out = 1
            for place in range(s, t):
                out = out * value[f"{prefix}rho.{AGES[place]}.{AGES[place + 1]}"]
            return out

        return [[sd(s) * sd(t) * (1 if s == t else c(min(s, t), max(s, t))) for t in places] for s in places]


def rows(model):
    """Subjects: sex, places of their ages, y, rows of X."""
    with (HERE / "OrthodontB.csv").open() as file:
        table = list(csv.DictReader(file))
    out = {}
    since = dict(LEFT_OUT) if model.dropout else {}
    for row in table:
        place = AGES.index(row["ageF"])
        if place >= since.get(row["Subject"], 4):
            continue
        subject = out.setdefault(row["Subject"], (row["Sex"], [], [], []))
        subject[1].append(place)
        subject[2].append(row["distance"])
        subject[3].append([column(row) for column in model.columns])
    return list(out.values())


def cholesky(A):
    """L, in whatever arithmetic A is in."""
    n = len(A)
    L = [[A[0][0] * 0 for _ in range(n)] for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            rest = A[i][j] - sum((L[i][k] * L[j][k] for k in range(j)), A[0][0] * 0)
            L[i][j] = rest.sqrt() if i == j else rest / L[j][j]
    return L


def forward(L, b):
    """L^-1 b."""
    out = []
    for i in range(len(L)):
        out.append((b[i] - sum((L[i][k] * out[k] for k in range(i)), L[0][0] * 0)) / L[i][i])
    return out


def backward(L, b):
    """L'^-1 b."""
    n = len(L)
    out = [None] * n
    for i in reversed(range(n)):
        out[i] = (b[i] - sum((L[k][i] * out[k] for k in range(i + 1, n)), L[0][0] * 0)) / L[i][i]
    return out


def solve(model, subjects, names, values, reml):
    """Deviance with beta and sigma at their best, sigma, beta, (X'R^-1X)^-1."""
    value = dict(zip(names, values, strict=True))
    q = len(model.columns) + 1
    F = [[Decimal(0)] * q for _ in range(q)]
    logdet, n = Decimal(0), 0
    for sex, places, y, X in subjects:
        L = cholesky([[Decimal(x) for x in line] for line in model.R(value, sex, places)])
        columns = [forward(L, [line[j] for line in X]) for j in range(q - 1)] + [forward(L, y)]
        for a in range(q):
            for b in range(a + 1):
                F[a][b] += sum(s * t for s, t in zip(columns[a], columns[b], strict=True))
        logdet += 2 * sum(L[i][i].ln() for i in range(len(L)))
        n += len(y)
    L = cholesky([[F[max(a, b)][min(a, b)] for b in range(q)] for a in range(q)])
    p = q - 1
    nu = n - p if reml else n
    r2 = L[p][p] ** 2
    corner = [line[:p] for line in L[:p]]
    beta = backward(corner, L[p][:p])
    unit = [[Decimal(i == j) for i in range(p)] for j in range(p)]
    inverse = [backward(corner, forward(corner, column)) for column in unit]
    deviance = nu * (1 + (PI2 * r2 / nu).ln()) + logdet
    if reml:
        deviance += 2 * sum(corner[i][i].ln() for i in range(p))
    return deviance, (r2 / nu).sqrt(), beta, inverse


def in_doubles(model, subjects, names, reml):
    """A start: the optimum in doubles, as far as BFGS and a simplex get."""
    starts = np.array([start for _, start in model.parameters()])
    data = [
        (sex, places, np.array(y, float), np.array([[float(x) for x in line] for line in X]))
        for sex, places, y, X in subjects
    ]

    def deviance(values):
        value, n, logdet = dict(zip(names, values, strict=True)), 0, 0.0
        F = 0.0
        for sex, places, y, X in data:
            R = np.array(model.R(value, sex, places), float)
            try:
                L = np.linalg.cholesky(R)
            except np.linalg.LinAlgError:
                return 1e6
            W = np.linalg.solve(L, np.column_stack([X, y]))
            F, logdet, n = F + W.T @ W, logdet + 2 * np.log(np.diag(L)).sum(), n + len(y)
        L = np.linalg.cholesky(F)
        p = len(F) - 1
        nu = n - reml * p
        return nu * np.log(L[-1, -1] ** 2) + logdet + reml * 2 * np.log(np.diag(L)[:p]).sum()

    if not len(starts):
        return starts
    found = starts
    for method in ("BFGS", "Nelder-Mead", "BFGS"):
        options = {"maxiter": 1_500}
        found = minimize(deviance, found, method=method, options=options).x
    return found


def newton(f, x):
    """To where the gradient of f is zero."""
    r = len(x)
    for _ in range(12):
        at = [list(x) for _ in range(2 * r)]
        for i in range(r):
            at[i][i] += STEP
            at[r + i][i] -= STEP
        middle, ends = f(x), [f(z) for z in at]
        g = [(ends[i] - ends[r + i]) / (2 * STEP) for i in range(r)]
        H = [[Decimal(0)] * r for _ in range(r)]
        for i in range(r):
            H[i][i] = (ends[i] - 2 * middle + ends[r + i]) / STEP**2
            for j in range(i):
                z = list(x)
                z[i] += STEP
                z[j] += STEP
                H[i][j] = H[j][i] = (f(z) - ends[i] - ends[j] + middle) / STEP**2
        # one-sided mixed differences are good to 1e-15: enough to halve the digits left at each step
        L = cholesky(H)
        step = backward(L, forward(L, g))
        x = [a - b for a, b in zip(x, step, strict=True)]
        if max(abs(s) for s in step) < Decimal("1e-25"):
            return x
    raise AssertionError("Newton did not settle")


ONE = lambda row: Decimal(1)  # noqa: E731
MALE = lambda row: Decimal(row["Sex"] == "Male")  # noqa: E731
AGE = lambda row: Decimal(row["age"])  # noqa: E731
BOTH = lambda row: Decimal(row["age"]) * (row["Sex"] == "Male")  # noqa: E731
LINES = ("distance ~ age * Sex", [ONE, AGE, MALE, BOTH])
CELLS = (
    "distance ~ Sex * ageF",
    [ONE, MALE, *(lambda row, a=a: Decimal(row["ageF"] == a) for a in AGES[1:]),
     *(lambda row, a=a: Decimal(row["ageF"] == a and row["Sex"] == "Male") for a in AGES[1:])],
)  # fmt: skip
MODELS = [
    Model("ident", "ident(Sex)", *LINES, kind="ident", sds="sex"),
    Model("cs", "cs(ageF | Subject)", *LINES, kind="cs"),
    Model("csh", "csh(ageF | Subject)", *LINES, kind="cs", sds="age"),
    Model("ar1", "ar1(ageF | Subject)", *LINES, kind="ar1"),
    Model("toep", "toep(ageF | Subject)", *LINES, kind="toep"),
    Model("toeph", "toeph(ageF | Subject)", *LINES, kind="toep", sds="age"),
    Model("ad", "ad(ageF | Subject)", *LINES, kind="ad"),
    Model("adh", "adh(ageF | Subject)", *LINES, kind="ad", sds="age"),
    Model("ident_cs", "ident(Sex) * cs(ageF | Subject)", *LINES, kind="cs", sds="sex"),
    Model("cs_by", "cs(ageF | Subject, by=Sex)", *LINES, kind="cs", by=True),
    Model("ar1h_by", "ar1h(ageF | Subject, by=Sex)", *LINES, kind="ar1", sds="age", by=True),
    Model("un_by", "un(ageF | Subject, by=Sex)", *LINES, kind="un", sds="age", by=True),
    Model("un_dropout", "un(ageF | Subject)", *CELLS, kind="un", sds="age", dropout=True),
    Model("ar1_dropout", "ar1(ageF | Subject)", *LINES, kind="ar1", dropout=True),
    Model("toeph_dropout", "toeph(ageF | Subject)", *LINES, kind="toep", sds="age", dropout=True),
]


def main():
    """Every model, REML and ML."""
    out = {}
    for model in MODELS:
        raw = rows(model)
        subjects = [(sex, places, [Decimal(v) for v in y], X) for sex, places, y, X in raw]
        names = [name for name, _ in model.parameters()]
        out[model.name] = {
            "residual": model.residual, "formula": model.formula, "names": names,
            "left_out": LEFT_OUT if model.dropout else [],
        }  # fmt: skip
        for criterion in ("REML", "ML"):
            reml = criterion == "REML"
            start = [Decimal(repr(float(v))) for v in in_doubles(model, raw, names, reml)]
            x = newton(lambda v: solve(model, subjects, names, v, reml)[0], start) if names else start  # noqa: B023
            deviance, sigma, beta, inverse = solve(model, subjects, names, x, reml)
            se = [sigma * inverse[i][i].sqrt() for i in range(len(beta))]
            numbers = {"deviance": deviance, "sigma": sigma, "beta": beta, "se": se, "parameters": x}
            out[model.name][criterion] = json.loads(json.dumps(numbers, default=lambda d: float(d)))
            print(model.name, criterion, float(deviance), [float(v) for v in x], flush=True)  # noqa: T201
    (HERE / "solved.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
