# One measurement: Rscript resampling.R CSV FORMULA REFITS prints one line of JSON. The clock holds bootMer, or the
# profile where REFITS is 0, alone.
suppressMessages(library(lme4))
arguments <- commandArgs(trailingOnly = TRUE)
data <- read.csv(arguments[1], stringsAsFactors = TRUE)
for (name in intersect(c("Subject", "Worker", "subj", "item"), names(data))) data[[name]] <- factor(data[[name]])
refits <- as.integer(arguments[3])
quiet <- function(expression) suppressWarnings(suppressMessages(expression))

fit <- quiet(lmer(as.formula(arguments[2]), data))
parameters <- function(fit) c(fixef(fit), as.data.frame(VarCorr(fit))$sdcor)
invisible(gc())
clock <- system.time(found <- if (refits > 0) {
  quiet(bootMer(fit, parameters, nsim = refits, seed = 1))
} else quiet(confint(fit, method = "profile", quiet = TRUE)))
seconds <- sum(clock[c("user.self", "sys.self")])
cat(sprintf('{"seconds": %.4f, "per_refit": %.6f, "refits": %d, "version": "lme4 %s"}\n',
  seconds, seconds / max(refits, 1), refits, packageVersion("lme4")))
