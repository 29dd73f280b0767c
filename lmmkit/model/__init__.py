"""Names in, tables out: formulas, designs, estimates, and what may be said of them.

In the order in which it reads best:
1. A formula as text: `tokens`, `reader`, `bars`, `terms`, `formula`; its expressions, none of which Python
   executes: `expression`, `checker`, `calls`, `functions`, `evaluate`, `conditions`, `lattice`.
2. A table as columns: `frame`, `source`, `levels`, `grouping`, `relations`, `variables`, `contrasts`,
   `coding`.
3. The design: `recipe`, `assemble`, `groups`, `aliasing`, `checks`, `design`, `overview`, `newdata`.
4. The fit: `threads`, `estimate`, `certificate`, `storage`, `findings`, and its face, `answers` and `fit`.
5. Tables of it: `tables`, `overall`, `summary`, `matrices`, `stages`, `residuals`, `blocks`, `views`,
   `inferred`.
6. Tests of fixed effects: `options`, `probabilities`, `degrees`, `effects`, `strata`, `combinations`,
   `wald`, `hypotheses`, `codings`; marginal means: `predictors`, `grid`, `means`, `family`, `multiplicity`.
7. Intervals: `inference` (Wald), `profile`, `simulate`, `bootstrap`, `quantiles`, `intervals`; `predict`,
   `r2`.
8. More than one model: `algorithms`, `selection`, `nesting`, `compare`, `rlrt`, `bootstrap_test`, `null`.
9. The data before any model: `about_data`, `panels`.
"""
