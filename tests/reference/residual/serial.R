# Models with serial correlation and variance functions: Rscript serial.R > serial_nlme.json, in this folder.
# nlme as good as it gets (its defaults stop early), and emmeans' Satterthwaite degrees of freedom, which take
# derivatives of the covariance matrix by a random perturbation of the response: good to a few per cent.
suppressMessages({library(nlme); library(emmeans); library(jsonlite)})
options(digits = 15)
rats <- transform(read.csv("BodyWeight.csv"), Rat = factor(Rat), Diet = factor(Diet))
jaws <- transform(read.csv("OrthodontB.csv"), Subject = factor(Subject), Sex = factor(Sex), ageF = factor(ageF))
tight <- glsControl(tolerance = 1e-10, msTol = 1e-12, opt = "nlminb", maxIter = 500, msMaxIter = 2000)
tighter <- lmeControl(tolerance = 1e-10, msTol = 1e-12, opt = "nlminb", maxIter = 500, msMaxIter = 2000, niterEM = 200)
shown <- function(fit, df = NULL) {
  s <- fit$modelStruct
  list(deviance = -2 * as.numeric(logLik(fit)), sigma = fit$sigma,
       fixef = as.list(if (inherits(fit, "lme")) fixef(fit) else coef(fit)),
       correlation = if (is.null(s$corStruct)) NULL else as.numeric(coef(s$corStruct, unconstrained = FALSE)),
       variance = if (is.null(s$varStruct)) NULL else as.numeric(coef(s$varStruct, unconstrained = FALSE)),
       df = attr(logLik(fit), "df"), satterthwaite = df)
}
dfs <- function(fit, specs, data) as.data.frame(emmeans(fit, specs, mode = "satterthwaite", data = data))$df
set.seed(1)
out <- list()
g <- gls(weight ~ Time * Diet, rats, corCAR1(form = ~ Time | Rat), control = tight)
out$car1 <- shown(g, dfs(g, ~ Diet, rats))
out$ident_car1 <- shown(gls(weight ~ Time * Diet, rats, corCAR1(form = ~ Time | Rat), varIdent(form = ~ 1 | Diet), control = tight))
out$power <- shown(gls(distance ~ age * Sex, jaws, weights = varPower(form = ~ age), control = tight))
out$exp <- shown(gls(distance ~ age * Sex, jaws, weights = varExp(form = ~ age), control = tight))
out$power_car1 <- shown(gls(distance ~ age * Sex, jaws, corCAR1(form = ~ age | Subject), varPower(form = ~ age), control = tight))
out$exp_ar1 <- shown(gls(distance ~ age * Sex, jaws, corAR1(form = ~ 1 | Subject), varExp(form = ~ age), control = tight))
out$intercept_car1 <- shown(lme(weight ~ Time * Diet, rats, ~ 1 | Rat, corCAR1(form = ~ Time | Rat), control = tighter))
out$intercept_ident_ar1 <- shown(lme(distance ~ age * Sex, jaws, ~ 1 | Subject, corAR1(form = ~ 1 | Subject), varIdent(form = ~ 1 | Sex), control = tighter))
out$intercept_power <- shown(lme(weight ~ Time * Diet, rats, ~ Time | Rat, weights = varPower(form = ~ Time), control = tighter))
out$power_fitted <- shown(gls(weight ~ Time * Diet, rats, weights = varPower(), control = tight))
cat(toJSON(out, digits = 15, auto_unbox = TRUE, pretty = TRUE, null = "null"), "\n")
