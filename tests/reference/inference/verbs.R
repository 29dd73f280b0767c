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
# Named contrasts and adjustments
m3 <- fit(y ~ a * b + c2 + (1 | g) + (1 | h), 3)
e <- emmeans(m3, ~ b, lmer.df = "satterthwaite")
for (method in c("pairwise", "revpairwise", "consec", "poly", "eff", "del.eff", "mean_chg", "trt.vs.ctrl"))
  out$contrasts[[method]] <- columns(summary(contrast(e, method, adjust = "none"), infer = c(TRUE, TRUE)))
out$contrasts$ref <- columns(summary(contrast(e, "trt.vs.ctrl", ref = c(1, 3), adjust = "none"), infer = c(TRUE, TRUE)))
ab <- emmeans(m3, ~ b | a, lmer.df = "satterthwaite")
for (adjust in c("tukey", "scheffe", "sidak", "bonferroni", "holm", "hochberg", "hommel", "BH", "BY", "none"))
  out$adjusted[[adjust]] <- columns(summary(contrast(ab, "pairwise", adjust = adjust), infer = c(TRUE, TRUE)))
for (cross in c("sidak", "bonferroni", "holm"))
  out$cross[[cross]] <- columns(summary(contrast(ab, "pairwise", adjust = "tukey"), cross.adjust = cross))
out$all_holm <- columns(summary(contrast(ab, "pairwise"), by = NULL, adjust = "holm"))
out$interaction <- columns(summary(contrast(emmeans(m3, ~ a * b, lmer.df = "satterthwaite"), interaction = c("pairwise", "consec")), infer = c(TRUE, TRUE)))
# Multivariate t at whole degrees of freedom, for all three bs and against a control: mvtnorm, tight tolerance
V <- as.matrix(vcov(contrast(e, "pairwise", adjust = "none"))); R <- cov2cor(V)
Rd <- cov2cor(as.matrix(vcov(contrast(e, "trt.vs.ctrl", adjust = "none"))))
set.seed(1); tight <- mvtnorm::GenzBretz(maxpts = 5e6, abseps = 1e-7)
out$mvt <- list(pairwise = R, control = Rd, t = c(1, 2, 3), df = 20,
  p_pairwise = sapply(1:3, function(t) 1 - as.numeric(mvtnorm::pmvt(rep(-t, 3), rep(t, 3), df = 20L, corr = R, algorithm = tight))),
  p_control = sapply(1:3, function(t) 1 - as.numeric(mvtnorm::pmvt(rep(-t, 2), rep(t, 2), df = 20L, corr = Rd, algorithm = tight))),
  p_less = sapply(1:3, function(t) 1 - as.numeric(mvtnorm::pmvt(rep(-Inf, 2), rep(t, 2), df = 20L, corr = Rd, algorithm = tight))))
# Weights and covariates
m3x <- fit(y ~ a * b + a * c2 + z + (1 | g) + (1 | h), 3)
for (w in c("equal", "proportional", "outer", "cells", "flat"))
  out$weights[[w]] <- columns(summary(emmeans(m3x, ~ a, lmer.df = "satterthwaite", weights = w)))
m19 <- fit(y ~ a * b + (1 | g), 19)
for (w in c("equal", "cells", "flat")) out$empty[[w]] <- columns(summary(emmeans(m19, ~ a, lmer.df = "satterthwaite", weights = w)))
m2q <- fit(y ~ a * x + I(x^2) + (1 | g), 2)
out$reduce <- list(
  median = columns(summary(emmeans(m2q, ~ a, cov.reduce = median, lmer.df = "satterthwaite"))),
  range = columns(summary(emmeans(m2q, ~ a * x, cov.reduce = range, lmer.df = "satterthwaite"))))
# Nested factors: by their labels, and by the formula
nested <- function(formula) {
  d <- read.csv("unbalanced_3.csv", stringsAsFactors = TRUE)
  d$inner <- factor(paste0(d$a, ifelse(d$a == "B" & d$k == "p", "p", as.character(d$c2))))
  environment(formula) <- environment()
  suppressMessages(lmerTest::lmer(formula, d, control = control))
}
for (case in list(list("labels", y ~ a + inner + (1 | g)), list("formula", y ~ a + a:c2 + (1 | g)))) {
  m <- nested(case[[2]]); inner <- if (case[[1]] == "labels") "inner" else "c2"
  e <- emmeans(m, inner, lmer.df = "satterthwaite")
  out$nested[[case[[1]]]] <- list(outer = columns(summary(emmeans(m, "a", lmer.df = "satterthwaite"))),
    inner = columns(summary(e)), pairs = columns(summary(pairs(e, adjust = "none"))))
}
# Transformed responses, u = exp(y / 4)
for (response in c("log(u)", "log1p(u)", "log2(u)", "log10(u)", "sqrt(u)", "log(u + 1)")) {
  d <- read.csv("unbalanced_3.csv", stringsAsFactors = TRUE); d$u <- exp(d$y / 4)
  f <- as.formula(paste(response, "~ a + b + (1 | g)")); environment(f) <- environment()
  m <- suppressMessages(lmerTest::lmer(f, d, control = control))
  e <- emmeans(m, ~ a, lmer.df = "satterthwaite")
  out$response[[response]] <- list(means = columns(summary(e, type = "response")),
    biased = columns(summary(e, type = "response", bias.adjust = TRUE, sigma = 0.5)),
    pairs = columns(summary(pairs(e, adjust = "none"), type = "response", infer = c(TRUE, TRUE))))
}
# Joint tests over the grid and simple effects; letters; effect sizes
satterthwaite <- function(m, ...) columns(joint_tests(m, lmer.df = "satterthwaite", showconf = FALSE, ...))
out$joint <- list(crossed = satterthwaite(m3), simple = satterthwaite(m3, by = "a"), covariate = satterthwaite(m2),
  by_covariate = satterthwaite(m2, by = "a"), empty = satterthwaite(m19), empty_simple = satterthwaite(m19, by = "a"),
  nested = satterthwaite(nested(y ~ a + a:c2 + (1 | g))), three = satterthwaite(m3x))
for (number in c(2, 3)) {
  m <- if (number == 2) fit(y ~ a * b + (x | g), 2) else m3
  e <- emmeans(m, ~ a * b, lmer.df = "satterthwaite")
  for (adjust in c("tukey", "none")) {
    k <- as.data.frame(cld(e, Letters = letters, adjust = adjust, alpha = 0.2, sort = TRUE))
    out$letters[[paste(number, adjust)]] <- list(mean = paste(k$a, k$b), letters = trimws(k$.group), groups = gsub(" ", ".", k$.group))
  }
  out$effect[[as.character(number)]] <- columns(eff_size(emmeans(m, ~ b, lmer.df = "satterthwaite"), sigma = 2.5, edf = 17))
}
write(toJSON(out, digits = 16, auto_unbox = TRUE, na = "null"), "verbs.json")
