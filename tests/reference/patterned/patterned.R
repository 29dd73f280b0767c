# Rscript patterned.R: logLik, standard deviations and correlations of glmmTMB for random effects with a pattern.
library(glmmTMB)
d <- read.csv("patterned.csv")
d$f <- factor(d$f)
d$pt <- numFactor(d$t)
d$pxy <- numFactor(d$t, d$z)
terms <- c(us = "us(0 + f | g)", diag = "diag(0 + f | g)", cs = "cs(0 + f | g)", ar1 = "ar1(0 + f | g)",
           toep = "toep(0 + f | g)", ou = "ou(0 + pt | g)", exp = "exp(0 + pxy | g)",
           homcs = "homcs(0 + f | g)", hetar1 = "hetar1(0 + f | g)", homtoep = "homtoep(0 + f | g)",
           homdiag = "homdiag(0 + f | g)")
out <- list(version = as.character(packageVersion("glmmTMB")))
for (name in names(terms)) for (reml in c(TRUE, FALSE)) {
  fit <- try(glmmTMB(as.formula(paste("y ~ x +", terms[[name]])), d, REML = reml), silent = TRUE)
  if (inherits(fit, "try-error")) { message(name, ": not in this version"); next }
  G <- VarCorr(fit)$cond$g
  key <- paste0(name, if (reml) ".reml" else ".ml")
  out[[key]] <- list(term = terms[[name]], logLik = as.numeric(logLik(fit)), sigma = sigma(fit),
                     fixef = as.numeric(fixef(fit)$cond), sd = as.numeric(attr(G, "stddev")),
                     cor = as.numeric(attr(G, "correlation")[, 1]), code = fit$fit$convergence,
                     pd = fit$sdr$pdHess)
}
writeLines(jsonlite::toJSON(out, digits = 12, auto_unbox = TRUE, pretty = TRUE), "patterned.json")
