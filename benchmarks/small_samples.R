# One measurement: Rscript small_samples.R CSV FORMULA PEER prints one line of JSON. The clock holds the method
# alone, by pbkrtest (adjusted covariance and the degrees of freedom of every coefficient) or lmerTest.
suppressMessages(library(lmerTest))
arguments <- commandArgs(trailingOnly = TRUE)
data <- read.csv(arguments[1], stringsAsFactors = TRUE)
seconds <- function(clock) sum(clock[c("user.self", "sys.self")])

fitting <- system.time(fit <- lme4::lmer(as.formula(arguments[2]), data))
invisible(gc())
clock <- system.time(df <- if (arguments[3] == "pbkrtest") {
  adjusted <- pbkrtest::vcovAdj(fit)
  sapply(seq_along(lme4::fixef(fit)), function(i)
    pbkrtest::ddf_Lb(adjusted, as.numeric(seq_along(lme4::fixef(fit)) == i), vcov(fit)))
} else coef(summary(as_lmerModLmerTest(fit)))[, "df"])
peak <- as.numeric(gsub("[^0-9]", "", grep("VmHWM", readLines("/proc/self/status"), value = TRUE))) / 1024
cat(sprintf('{"fit": %.4f, "seconds": %.4f, "peak_mb": %.1f, "df": [%s], "version": "%s %s"}\n',
  seconds(fitting), seconds(clock), peak, paste(sprintf("%.6f", df), collapse = ", "),
  arguments[3], packageVersion(arguments[3])))
