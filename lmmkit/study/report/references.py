"""The literature behind a run's methods, as it is cited and as it is listed: what a run uses and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

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
    "maximal": Work(
        "Barr, Levy, Scheepers, & Tily, 2013",
        "Barr, D. J., Levy, R., Scheepers, C., & Tily, H. J. (2013). Random effects structure for "
        "confirmatory hypothesis testing: Keep it maximal. Journal of Memory and Language, 68(3), 255-278. "
        "doi:10.1016/j.jml.2012.11.001",
    ),
    "parsimonious": Work(
        "Bates, Kliegl, Vasishth, & Baayen, 2015",
        "Bates, D., Kliegl, R., Vasishth, S., & Baayen, H. (2015). Parsimonious mixed models. "
        "arXiv:1506.04967. doi:10.48550/arXiv.1506.04967",
    ),
    "matched": Work(
        "Matuschek, Kliegl, Vasishth, Baayen, & Bates, 2017",
        "Matuschek, H., Kliegl, R., Vasishth, S., Baayen, H., & Bates, D. (2017). Balancing Type I error and "
        "power in linear mixed models. Journal of Memory and Language, 94, 305-315. "
        "doi:10.1016/j.jml.2017.01.001",
    ),
    "caic": Work(
        "Greven & Kneib, 2010",
        "Greven, S., & Kneib, T. (2010). On the behaviour of marginal and conditional AIC in linear mixed "
        "models. Biometrika, 97(4), 773-789. doi:10.1093/biomet/asq042",
    ),
    "spread": Work(
        "Bartlett, 1937",
        "Bartlett, M. S. (1937). Properties of sufficiency and statistical tests. Proceedings of the Royal "
        "Society of London A, 160(901), 268-282. doi:10.1098/rspa.1937.0109",
    ),
    "trend": Work(
        "Harvey, 1976",
        "Harvey, A. C. (1976). Estimating regression models with multiplicative heteroscedasticity. "
        "Econometrica, 44(3), 461-465. doi:10.2307/1913974",
    ),
    "normality": Work(
        "Jarque & Bera, 1987",
        "Jarque, C. M., & Bera, A. K. (1987). A test for normality of observations and regression residuals. "
        "International Statistical Review, 55(2), 163-172. doi:10.2307/1403192",
    ),
    "envelope": Work(
        "Aldor-Noiman, Brown, Buja, Rolke, & Stine, 2013",
        "Aldor-Noiman, S., Brown, L. D., Buja, A., Rolke, W., & Stine, R. A. (2013). The power to see: A new "
        "graphical test of normality. The American Statistician, 67(4), 249-260. "
        "doi:10.1080/00031305.2013.847865",
    ),
    "table": Work(
        "Ge, Dudoit, & Speed, 2003",
        "Ge, Y., Dudoit, S., & Speed, T. P. (2003). Resampling-based multiple testing for microarray data "
        "analysis. TEST, 12(1), 1-77. doi:10.1007/BF02595811",
    ),
    "psis": Work(
        "Vehtari et al., 2024",
        "Vehtari, A., Simpson, D., Gelman, A., Yao, Y., & Gabry, J. (2024). Pareto smoothed "
        "importance sampling. "
        "Journal of Machine Learning Research, 25(72), 1-58. doi:10.48550/arXiv.1507.02646",
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
    "imputation": Work(
        "Rubin, 1987",
        "Rubin, D. B. (1987). Multiple imputation for nonresponse in surveys. Wiley. "
        "doi:10.1002/9780470316696",
    ),
    "imputation df": Work(
        "Barnard & Rubin, 1999",
        "Barnard, J., & Rubin, D. B. (1999). Small-sample degrees of freedom with multiple imputation. "
        "Biometrika, 86(4), 948-955. doi:10.1093/biomet/86.4.948",
    ),
    "reference-based": Work(
        "Carpenter, Roger, & Kenward, 2013",
        "Carpenter, J. R., Roger, J. H., & Kenward, M. G. (2013). Analysis of longitudinal trials with "
        "protocol deviation: a framework for relevant, accessible assumptions, and inference via multiple "
        "imputation. Journal of Biopharmaceutical Statistics, 23(6), 1352-1371. "
        "doi:10.1080/10543406.2013.834911",
    ),
    "anchored": Work(
        "Cro, Carpenter, & Kenward, 2019",
        "Cro, S., Carpenter, J. R., & Kenward, M. G. (2019). Information-anchored sensitivity analysis: "
        "theory and application. Journal of the Royal Statistical Society A, 182(2), 623-645. "
        "doi:10.1111/rssa.12423",
    ),
    "controlled": Work(
        "Cro, Morris, Kenward, & Carpenter, 2020",
        "Cro, S., Morris, T. P., Kenward, M. G., & Carpenter, J. R. (2020). Sensitivity analysis for "
        "clinical trials with missing continuous outcome data using controlled multiple imputation: a "
        "practical guide. Statistics in Medicine, 39(21), 2815-2842. doi:10.1002/sim.8569",
    ),
    "conditional mean": Work(
        "Wolbers et al., 2022",
        "Wolbers, M., Noci, A., Delmar, P., Gower-Page, C., Yiu, S., & Bartlett, J. W. (2022). Standard and "
        "reference-based conditional mean imputation. Pharmaceutical Statistics, 21(6), 1246-1257. "
        "doi:10.1002/pst.2234",
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
    choice = files.json("selection.json")
    sensitivity: dict[str, Any] = files.json("study.json").get("missing_data") or {}
    gaps: list[str] = sensitivity.get("assumptions", [])
    based = any(each != "tipping-point" for each in gaps)
    asked = {
        "maximal": choice["rule"] == "maximal",
        "parsimonious": choice["rule"] == "parsimonious",
        "matched": choice["rule"] in ("backward", "forward"),
        "caic": choice["criterion"] == "caic",
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
        "envelope": "quantiles of residuals" in made,
        "table": len(made) > 1,
        "imputation": bool(gaps),
        "imputation df": bool(gaps),
        "controlled": "tipping-point" in gaps,
        "reference-based": based,
        "anchored": based,
        "conditional mean": bool(gaps),
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
