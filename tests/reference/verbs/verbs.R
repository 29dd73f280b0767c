# Reference values of the verbs: lmerTest's ranova and drop1, broom.mixed's tables, performance's ICC by group.
# Rscript verbs.R DATA > verbs.json, DATA being the folder of sleepstudy.csv, Penicillin.csv, cake.csv, Machines.csv.
suppressMessages({library(lmerTest); library(jsonlite)})
data <- commandArgs(TRUE)[1]
ctl <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5))
table <- function(name) read.csv(file.path(data, name), stringsAsFactors = TRUE)
sleep <- table("sleepstudy.csv"); sleep$Subject <- factor(sleep$Subject)
peni <- table("Penicillin.csv"); cake <- table("cake.csv"); mach <- table("Machines.csv")
cake$replicate <- factor(cake$replicate); 
fits <- list(
  sleep = lmer(Reaction ~ Days + (Days | Subject), sleep, control = ctl),
  penicillin = lmer(diameter ~ 1 + (1 | plate) + (1 | sample), peni, control = ctl),
  cake = lmer(angle ~ recipe * temperature + (1 | recipe:replicate), cake, control = ctl),
  machines = lmer(score ~ Machine + (1 | Worker) + (1 | Worker:Machine), mach, control = ctl),
  sleep2 = lmer(log(Reaction) ~ poly(Days, 2) + (1 | Subject) + (0 + Days | Subject), sleep, control = ctl, weights = 1 + Days)
)
frame <- function(x) { x <- as.data.frame(x); x$term. <- rownames(x); x }
na <- function(f) tryCatch(f, error = function(e) paste("error:", conditionMessage(e)))
out <- lapply(fits, function(m) list(
  formula = deparse(formula(m)),
  ranova = na(frame(ranova(m))),
  ranova_flat = na(frame(ranova(m, reduce.terms = FALSE))),
  drop1_satterthwaite = na(frame(drop1(m, ddf = "Satterthwaite"))),
  drop1_kr = na(frame(drop1(m, ddf = "Kenward-Roger"))),
  drop1_lme4 = na(frame(drop1(m, ddf = "lme4", test = "Chisq"))),
  tidy = na(as.data.frame(broom.mixed::tidy(m, conf.int = TRUE, effects = c("ran_pars", "fixed")))),
  ran_vals = na(head(as.data.frame(broom.mixed::tidy(m, effects = "ran_vals", conf.int = TRUE)), 12)),
  ran_coefs = na(head(as.data.frame(broom.mixed::tidy(m, effects = "ran_coefs")), 12)),
  glance = na(as.data.frame(broom.mixed::glance(m))),
  augment = na(head(as.data.frame(broom.mixed::augment(m)), 6)),
  icc = na(unclass(performance::icc(m))[1:2]),
  icc_group = na(as.data.frame(performance::icc(m, by_group = TRUE))),
  r2 = na(unlist(performance::r2_nakagawa(m)))
))
out$versions <- list(R = R.version.string, lme4 = as.character(packageVersion("lme4")), lmerTest = as.character(packageVersion("lmerTest")),
  broom.mixed = as.character(packageVersion("broom.mixed")), performance = as.character(packageVersion("performance")), pbkrtest = as.character(packageVersion("pbkrtest")))
cat(toJSON(out, digits = NA, auto_unbox = TRUE, na = "null"), "\n")
