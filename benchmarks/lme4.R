# One fit in a process of its own: Rscript lme4.R FOLDER FORMULA COLUMN,COLUMN,... FACTOR,FACTOR,...
# The columns are files of raw doubles. The clock holds the call of lmer alone.
suppressMessages(library(lme4))
arguments <- commandArgs(trailingOnly = TRUE)
split <- function(text) strsplit(text, ",")[[1]]

column <- function(name) {
  path <- file.path(arguments[1], paste0(name, ".f64"))
  readBin(path, "double", file.size(path) / 8)
}
data <- as.data.frame(sapply(split(arguments[3]), column, simplify = FALSE))
for (name in split(arguments[4])) data[[name]] <- factor(data[[name]])
formula <- as.formula(arguments[2])
invisible(gc())

clock <- system.time(fit <- suppressWarnings(suppressMessages(lmer(formula, data))))
messages <- unlist(fit@optinfo$conv$lme4$messages)
peak <- grep("VmHWM", readLines("/proc/self/status"), value = TRUE)
cat(sprintf(
  '{"status": "ok", "seconds": %.6f, "peak_mb": %.1f, "deviance": %.12f, "evaluations": %d, "converged": %s, "version": "%s, %s"}\n',
  sum(clock[c("user.self", "sys.self")]), as.numeric(gsub("[^0-9]", "", peak)) / 1024, REMLcrit(fit), fit@optinfo$feval, if (is.null(messages)) "true" else "false",
  packageVersion("lme4"), basename(dirname(extSoftVersion()["BLAS"]))
))
