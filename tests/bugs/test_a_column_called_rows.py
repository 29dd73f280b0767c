"""A column of the data called `rows`, as the count of the table of missing values is: step 01 stopped."""

import pandas as pd

from lmmkit import plots
from lmmkit.model.report_tables.about_data import missing_patterns
from lmmkit.study.report import captions


def test_the_count_has_a_name_of_its_own():
    frame = pd.DataFrame({"rows": [1.0, None, 3.0], "number of rows": [1.0, 2.0, None], "y": [1, 2, 3]})
    patterns = missing_patterns(frame)
    assert patterns.columns[0] not in frame.columns
    assert patterns.iloc[:, 0].tolist() == [1, 1, 1]
    words = captions.missing(patterns)
    assert str(words["caption"]).startswith("2 of 3 rows lack a value")
    assert [tick.get_text() for tick in plots.missing(patterns).get_yticklabels()] == ["1 row"] * 3
