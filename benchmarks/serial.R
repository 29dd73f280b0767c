# One fit with serially correlated residuals: Rscript serial.R CSV RANDOM prints one line of JSON. The clock holds the
# call of nlme alone, its controls as they come.
suppressMessages(library(nlme))
given <- commandArgs(trailingOnly = TRUE)
data <- read.csv(given[1], stringsAsFactors = TRUE)
data$animal <- factor(data$animal)
near <- corCAR1(form = ~ day | animal)
clock <- system.time(fit <- if (given[2] == "no") gls(y ~ arm * day, data, near) else lme(y ~ arm * day, data, ~ 1 | animal, near))
peak <- as.numeric(gsub("[^0-9]", "", grep("VmHWM", readLines("/proc/self/status"), value = TRUE))) / 1024
cat(sprintf(
  '{"seconds": %.4f, "peak_mb": %.1f, "rows": %d, "deviance": %.9f, "range": %.9g, "converged": true, "version": "nlme %s"}\n',
  sum(clock[c("user.self", "sys.self")]), peak, nrow(data), -2 * as.numeric(logLik(fit)),
  -1 / log(coef(fit$modelStruct$corStruct, unconstrained = FALSE)), packageVersion("nlme")
))
