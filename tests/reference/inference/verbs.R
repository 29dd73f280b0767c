# Makes verbs.json: joint tests, named contrasts, reference grids, back-transformations and their kin by lmerTest,
# pbkrtest, emmeans and multcomp. Run in this folder: Rscript verbs.R
suppressMessages({library(lmerTest); library(emmeans); library(multcomp); library(jsonlite)})
options(contrasts = c("contr.treatment", "contr.poly"))
emm_options(lmerTest.limit = 1e5, pbkrtest.limit = 2000, msg.interaction = FALSE, msg.nesting = FALSE)
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 20000))
columns <- function(s) { s <- as.data.frame(s); lapply(as.list(s), function(v) if (is.factor(v)) as.character(v) else v) }
fit <- function(formula, number) {
  d <- read.csv(paste0("unbalanced_", number, ".csv"), stringsAsFactors = TRUE)
  environment(formula) <- environment()
  suppressMessages(lmerTest::lmer(formula, d, control = control))
}
out <- list()
# Joint tests of several rows
m2 <- fit(y ~ a * x + b + (x | g), 2)
p <- length(fixef(m2))
unit <- function(i) as.numeric(seq_len(p) == i)
L <- rbind(unit(2) - unit(3), unit(p), unit(4) + 2 * unit(5))
for (ddf in c("Satterthwaite", "Kenward-Roger")) {
  out$contest[[ddf]] <- list(
    plain = columns(contestMD(m2, L, ddf = ddf)),
    values = columns(contestMD(m2, L, rhs = c(0.5, -0.2, 0.1), ddf = ddf)),
    redundant = columns(contestMD(m2, rbind(L, L[1, ] + L[2, ]), ddf = ddf)))
}
out$contest$names <- names(fixef(m2))
# Sides and margins
e <- emmeans(m2, ~ a, lmer.df = "satterthwaite")
for (side in c("two-sided", "<", ">")) for (delta in c(0, 0.4))
  out$sides[[paste(side, delta)]] <- columns(summary(pairs(e), infer = c(TRUE, TRUE), null = 0.1, side = side, delta = delta, adjust = "none", level = 0.9))
write(toJSON(out, digits = 16, auto_unbox = TRUE, na = "null"), "verbs.json")
