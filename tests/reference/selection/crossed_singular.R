# lme4's criteria for candidates of a crossed design whose maximal model is singular.
# Rscript crossed_singular.R writes crossed_singular.json: formula, then -2 log likelihood by REML and by ML.
suppressMessages(library(lme4))
data <- read.csv("crossed_singular.csv", stringsAsFactors = TRUE)
formulas <- readLines("formulas.txt")
control <- lmerControl(optimizer = "bobyqa", calc.derivs = FALSE, optCtrl = list(rhoend = 1e-10, maxfun = 1e5),
                       check.conv.singular = "ignore")
lines <- sapply(formulas, function(text) {
  found <- sapply(c(TRUE, FALSE), function(reml) {
    -2 * as.numeric(logLik(suppressWarnings(lmer(as.formula(text), data, REML = reml, control = control))))
  })
  sprintf('  {"formula": "%s", "REML": %.12f, "ML": %.12f}', text, found[1], found[2])
})
version <- as.character(packageVersion("lme4"))
writeLines(c(sprintf('{"what": "lme4 %s, bobyqa at rhoend 1e-10", "candidates": [', version),
             paste(lines, collapse = ",\n"), "]}"), "crossed_singular.json")
