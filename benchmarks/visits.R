# One fit of repeated visits: Rscript visits.R CSV prints one line of JSON. The clock holds the call of glmmTMB alone.
suppressWarnings(suppressMessages(library(glmmTMB)))
data <- read.csv(commandArgs(trailingOnly = TRUE)[1], stringsAsFactors = TRUE)
data$patient <- factor(data$patient)
told <- character()
clock <- system.time(fit <- withCallingHandlers(
  glmmTMB(y ~ arm * visit + baseline + us(0 + visit | patient), data, dispformula = ~0, REML = TRUE),
  warning = function(w) { told <<- c(told, conditionMessage(w)); invokeRestart("muffleWarning") }
))
peak <- as.numeric(gsub("[^0-9]", "", grep("VmHWM", readLines("/proc/self/status"), value = TRUE))) / 1024
cat(sprintf(
  '{"seconds": %.4f, "peak_mb": %.1f, "rows": %d, "deviance": %.9f, "evaluations": %d, "converged": %s, "version": "glmmTMB %s"}\n',
  sum(clock[c("user.self", "sys.self")]), peak, nrow(data), -2 * as.numeric(logLik(fit)),
  fit$fit$evaluations[["function"]], if (fit$fit$convergence == 0) "true" else "false", packageVersion("glmmTMB")
))
