"""The literature behind a run's methods, as it is cited and as it is listed: what a run uses and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from lmmkit.study.pages.marks import MarkedText, fill, join
from lmmkit.study.report.numbers import Files

FILE, OF_POSTERIOR = "references.json", "posterior_references.json"


class Work(NamedTuple):
    """A work.

    Attributes:
        cited: As in running text.
        listed: As in a list, with its DOI.
    """

    cited: str
    listed: str


WORKS: Mapping[str, Work] = {
    "model": Work(
        "Laird & Ware, 1982",
        "Laird, N. M., & Ware, J. H. (1982). Random-effects models for longitudinal data. Biometrics, 38(4), "
        "963-974. doi:10.2307/2529876",
    ),
    "reml": Work(
        "Patterson & Thompson, 1971",
        "Patterson, H. D., & Thompson, R. (1971). Recovery of inter-block information when block sizes are "
        "unequal. Biometrika, 58(3), 545-554. doi:10.1093/biomet/58.3.545",
    ),
    "kenward-roger": Work(
        "Kenward & Roger, 1997",
        "Kenward, M. G., & Roger, J. H. (1997). Small sample inference for fixed effects from restricted "
        "maximum likelihood. Biometrics, 53(3), 983-997. doi:10.2307/2533558",
    ),
    "satterthwaite": Work(
        "Satterthwaite, 1946",
        "Satterthwaite, F. E. (1946). An approximate distribution of estimates of variance components. "
        "Biometrics Bulletin, 2(6), 110-114. doi:10.2307/3002019",
    ),
    "r2": Work(
        "Nakagawa & Schielzeth, 2013",
        "Nakagawa, S., & Schielzeth, H. (2013). A general and simple method for obtaining R2 from "
        "generalized "
        "linear mixed-effects models. Methods in Ecology and Evolution, 4(2), 133-142. "
        "doi:10.1111/j.2041-210x.2012.00261.x",
    ),
    "r2 slopes": Work(
        "Johnson, 2014",
        "Johnson, P. C. D. (2014). Extension of Nakagawa & Schielzeth's R2GLMM to random slopes "
        "models. Methods "
        "in Ecology and Evolution, 5(9), 944-946. doi:10.1111/2041-210X.12225",
    ),
    "d": Work(
        "Westfall, Kenny, & Judd, 2014",
        "Westfall, J., Kenny, D. A., & Judd, C. M. (2014). Statistical power and optimal design in "
        "experiments "
        "in which samples of participants respond to samples of stimuli. Journal of Experimental Psychology: "
        "General, 143(5), 2020-2045. doi:10.1037/xge0000014",
    ),
    "boundary": Work(
        "Self & Liang, 1987",
        "Self, S. G., & Liang, K.-Y. (1987). Asymptotic properties of maximum likelihood estimators and "
        "likelihood ratio tests under nonstandard conditions. Journal of the American Statistical "
        "Association, "
        "82(398), 605-610. doi:10.1080/01621459.1987.10478472",
    ),
    "spread": Work(
        "Brown & Forsythe, 1974",
        "Brown, M. B., & Forsythe, A. B. (1974). Robust tests for the equality of variances. Journal of the "
        "American Statistical Association, 69(346), 364-367. doi:10.1080/01621459.1974.10482955",
    ),
    "trend": Work(
        "Koenker, 1981",
        "Koenker, R. (1981). A note on studentizing a test for heteroscedasticity. Journal of Econometrics, "
        "17(1), 107-112. doi:10.1016/0304-4076(81)90062-2",
    ),
    "normality": Work(
        "D'Agostino & Pearson, 1973",
        "D'Agostino, R., & Pearson, E. S. (1973). Tests for departure from normality. Empirical "
        "results for the "
        "distributions of b2 and the root of b1. Biometrika, 60(3), 613-622. "
        "doi:10.1093/biomet/60.3.613",
    ),
    "psis": Work(
        "Vehtari et al., 2024",
        "Vehtari, A., Simpson, D., Gelman, A., Yao, Y., & Gabry, J. (2024). Pareto smoothed "
        "importance sampling. "
        "Journal of Machine Learning Research, 25(72), 1-58.",
    ),
    "lkj": Work(
        "Lewandowski, Kurowicka, & Joe, 2009",
        "Lewandowski, D., Kurowicka, D., & Joe, H. (2009). Generating random correlation matrices "
        "based on vines and "
        "extended onion method. Journal of Multivariate Analysis, 100(9), 1989-2001. "
        "doi:10.1016/j.jmva.2009.04.008",
    ),
    "loo": Work(
        "Vehtari, Gelman, & Gabry, 2017",
        "Vehtari, A., Gelman, A., & Gabry, J. (2017). Practical Bayesian model evaluation using "
        "leave-one-out "
        "cross-validation and WAIC. Statistics and Computing, 27(5), 1413-1432. "
        "doi:10.1007/s11222-016-9696-4",
    ),
    "power-scaling": Work(
        "Kallioinen, Paananen, Bürkner, & Vehtari, 2023",
        "Kallioinen, N., Paananen, T., Bürkner, P.-C., & Vehtari, A. (2023). Detecting and "
        "diagnosing prior and "
        "likelihood sensitivity with power-scaling. Statistics and Computing, 34, 57. "
        "doi:10.1007/s11222-023-10366-5",
    ),
    "guide": Work(
        "Meteyard & Davies, 2020",
        "Meteyard, L., & Davies, R. A. I. (2020). Best practice guidance for linear mixed-effects models in "
        "psychological science. Journal of Memory and Language, 112, 104092. "
        "doi:10.1016/j.jml.2020.104092",
    ),
}
DEGREES = {
    "kenward-roger": "kenward-roger",
    "kenward-roger-observed": "kenward-roger",
    "satterthwaite": "satterthwaite",
}


def used(files: Files) -> dict[str, dict[str, str]]:
    """The works behind a run, by what they are about, for `references.json`.

    Args:
        files: The run, with its tables.
    """
    degrees = str(files.table("coefficients")["method"].iloc[0]).partition(":")[0]
    summary, checks = files.json("summary.json"), files.table("checks")
    made = set(checks.loc[checks["verdict"] != "not checked", "check"])
    asked = {
        "model": bool(summary["ngroups"]),
        "reml": summary["method"] == "REML",
        DEGREES.get(degrees, ""): True,
        "r2": True,
        "r2 slopes": bool(summary["ngroups"]),
        "d": len(files.table("effect_sizes")) > 0,
        "boundary": bool(
            files.table("comparisons")["reference"].astype(str).str.contains("+", regex=False).any()
        ),
        "spread": "variance between groups" in made,
        "trend": "variance along fitted values" in made,
        "normality": "normal residuals" in made,
        "guide": True,
    }
    return {key: work._asdict() for key, work in WORKS.items() if asked.get(key)}


def cite(files: Files, *keys: str) -> MarkedText:
    """` (Kenward & Roger, 1997)`, or nothing where the run does not use the works."""
    found = files.json(FILE)
    marks = [files.entry(FILE, key, "cited") for key in keys if key in found]
    return fill(" ({})", join("; ", marks)) if marks else MarkedText()


def bibliography(files: Files) -> list[MarkedText]:
    """The works in the order of their authors."""
    names = [FILE, *([OF_POSTERIOR] if files.json("study.json")["posterior"] else [])]
    found = {(name, key): work["listed"] for name in names for key, work in files.json(name).items()}
    return [
        fill("{}", files.entry(*place, "listed")) for place in sorted(found, key=lambda place: found[place])
    ]
