# Makes unbalanced.json: unbalanced designs, with prior weights, an empty cell and a singular fit, by lmerTest,
# pbkrtest and emmeans. Run in this folder: Rscript unbalanced.R
suppressMessages({library(lmerTest); library(emmeans); library(jsonlite)})
options(contrasts = c("contr.treatment", "contr.poly"))
emm_options(lmerTest.limit = 1e5, pbkrtest.limit = 2000)
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 20000))
cases <- list(
  list(data = 1, formula = "y ~ a * b + (1 | g)", weights = TRUE, means = c("a", "equal", "proportional")),
  list(data = 2, formula = "y ~ a * x + b + (x | g)", weights = FALSE, means = c("a", "equal")),
  list(data = 3, formula = "y ~ a * b * c2 + (1 | g) + (1 | h)", weights = FALSE, means = c("b", "equal", "proportional")),
  list(data = 4, formula = "y ~ a + x + I(x^2) + (1 | g/k)", weights = FALSE, means = c("a", "equal")),
  list(data = 19, formula = "y ~ a * b + (1 | g)", weights = FALSE, means = c("a", "equal")))
table <- function(a) list(terms = rownames(a), num_df = a$NumDF, den_df = a$DenDF, F = a[["F value"]])
columns <- function(s) { s <- as.data.frame(s); lapply(as.list(s), function(v) if (is.factor(v)) as.character(v) else v) }
out <- lapply(cases, function(case) {
  d <- read.csv(paste0("unbalanced_", case$data, ".csv"), stringsAsFactors = TRUE)
  d$wt <- if (case$weights) d$w else 1
  m <- suppressMessages(lmerTest::lmer(as.formula(case$formula), d, weights = wt, control = control))
  for (ddf in c("Satterthwaite", "Kenward-Roger")) {
    if (ddf == "Kenward-Roger" && (case$weights || isSingular(m, 1e-5))) next  # pbkrtest ignores weights
    s <- suppressMessages(coef(summary(m, ddf = ddf)))
    found <- list(coef = list(names = rownames(s), se = s[, 2], df = s[, 3]))
    for (type in 1:3) found[[paste0("anova", type)]] <- table(suppressMessages(anova(m, type = type, ddf = ddf)))
    case[[ddf]] <- found
  }
  for (w in case$means[-1]) {
    e <- suppressMessages(emmeans(m, case$means[1], lmer.df = "satterthwaite", weights = w))
    case[[paste0("means_", w)]] <- columns(summary(e))
    for (adjust in c("tukey", "holm", "bonferroni", "sidak", "none"))
      case[[paste(w, adjust, sep = "_")]] <- columns(summary(pairs(e, adjust = adjust), infer = c(TRUE, TRUE)))
  }
  if (case$data == 2) case$slopes <- columns(summary(emtrends(m, ~a, var = "x", lmer.df = "satterthwaite"), infer = c(TRUE, TRUE)))
  case })
write(toJSON(out, digits = 16, auto_unbox = TRUE, na = "null"), "unbalanced.json")
