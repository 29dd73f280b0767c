# One measurement: Rscript methods.R CSV FORMULA METHOD REFITS prints one line of JSON. The clock holds the method
# alone: pbkrtest (adjusted covariance and degrees of freedom of every coefficient), lmerTest, bootMer, profile.
suppressMessages(library(lmerTest))
arguments <- commandArgs(trailingOnly = TRUE)
data <- read.csv(arguments[1], stringsAsFactors = TRUE)
factors <- intersect(c("Subject", "Worker", "subj", "item"), names(data))
for (name in factors) data[[name]] <- factor(data[[name]])
refits <- as.integer(arguments[4])
seconds <- function(clock) sum(clock[c("user.self", "sys.self")])
quiet <- function(expression) suppressWarnings(suppressMessages(expression))

kenward_roger <- function(fit) {
  adjusted <- pbkrtest::vcovAdj(fit)
  rows <- diag(length(lme4::fixef(fit)))
  apply(rows, 1, function(row) pbkrtest::ddf_Lb(adjusted, row, vcov(fit)))
}
methods <- list(
  pbkrtest = kenward_roger,
  lmerTest = function(fit) coef(summary(as_lmerModLmerTest(fit)))[, "df"],
  bootMer = function(fit) {
    parameters <- function(fit) c(lme4::fixef(fit), as.data.frame(lme4::VarCorr(fit))$sdcor)
    lme4::bootMer(fit, parameters, nsim = refits, seed = 1)
    NULL
  },
  profile = function(fit) { confint(fit, method = "profile", quiet = TRUE); NULL }
)

fitting <- system.time(fit <- quiet(lme4::lmer(as.formula(arguments[2]), data)))
invisible(gc())
clock <- system.time(df <- quiet(methods[[arguments[3]]](fit)))
peak <- as.numeric(gsub("[^0-9]", "", grep("VmHWM", readLines("/proc/self/status"), value = TRUE))) / 1024
package <- c(pbkrtest = "pbkrtest", lmerTest = "lmerTest", bootMer = "lme4", profile = "lme4")[[arguments[3]]]
cat(sprintf('{"fit": %.4f, "seconds": %.4f, "peak_mb": %.1f, "df": [%s], "version": "%s %s"}\n',
  seconds(fitting), seconds(clock), peak, paste(sprintf("%.6f", df), collapse = ", "),
  package, packageVersion(package)))
