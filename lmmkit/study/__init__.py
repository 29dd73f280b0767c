"""Files in, reports out: study files, data and their ledger, steps, runs.

In the order in which it reads best:
1. A study: `yamlfile`, `schema`, `gates`, `faults`, `study`, `declared`, `shipped`, `new`, `checking`.
2. Its data: `files`, `arrow`, `columns`, `ledger`, `data`, `frames`.
3. A step, as a notebook holds it: `opening`, `step`, `artifacts`, `figures`, `words`, `modelling`,
   `byhand`.
4. A run: `plan`, `keys`, `notebooks`, `manifest`, `store`, `locks`, `light`, `forkserver`, `server`,
   `kernels`, `execute`, `failure`, `watch`, `run`, `session`, `crate`.
5. The report: `bound`, `answer`, `doubts`, `prose`, `mathml`, `report`, `printed`, `proof`, `embed`.
6. A sweep: `sweep_file`, `cells`, `sweep_worker`, `sweep_staff`, `sweep_pool`, `sweep_watch`, `sweep`,
   `quantities`, `sweep_results`, `curve`, `sweep_null`, `sweep_report`, `sweep_outcome`, `sweep_session`;
   on a cluster: `cluster_parcel`, `cluster_work`, `cluster`, `cluster_bootstrap`.
7. An audit: `integrity`, `rerun`, `values`, `audit_rerun`, `opinion`, `opinion_statsmodels`,
   `opinion_lme4`, `second_opinion`, `environment`, `findings`, `audit`; `why_formula`, `why`;
   `diff_causes`, `diff`; `lock`; `reproduce`.
8. The command line: `spoken`, `commands`, `sweep_command`, `cli`.
"""

from lmmkit.study.data.load_table import PreparedData, load_table
from lmmkit.study.data.sources import Base
from lmmkit.study.files.study import Study, choose_structure, fit_options, load_study
from lmmkit.study.steps.figures import Figure
from lmmkit.study.steps.open_step import open_step
from lmmkit.study.steps.step import Step

__all__ = [
    "Base",
    "Figure",
    "PreparedData",
    "Step",
    "Study",
    "choose_structure",
    "fit_options",
    "load_study",
    "load_table",
    "open_step",
]
