"""Arrays in, numbers out; numpy and scipy only.

In the order in which it reads best:
1. What is solved: `problem`, `solve`, `setup`, `solution`, `units`.
2. From rows to sums: `prepare` (centring, scaling), `layout` (nesting), `coupling`, `moments`, `absorb`.
3. The criterion: `kernels`, `eliminate` (forward), `reverse` (gradient), `average` (Hessian), `criterion`,
   `variances`, `hessian`.
4. The search: `start`, `cone`, `search`, `newton`, `em`, `quasi`, `algorithms`, `boundary`, `optimality`.
5. The referee, which shares no code with the above: `henderson`, `henderson_sparse`, `textbook`, `equations`.
6. Inference: `information`, `expected`, `traces`, `components`, `sandwich`, `satterthwaite`,
   `kenward_roger`, `ranks`, `studentized_range`, `curvature`, `tangent`, `chibar`, `families`, `joint`.
7. The shape of the likelihood: `profile`, `slices`, `bounds`, `rlrt`.
8. Many responses on one design: `responses`, `shared`, `batch`, `batch_cone`, `batch_search`, `replicates`,
   `streams`, `jackknife`.
"""
