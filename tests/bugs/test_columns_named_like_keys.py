"""A misspelt key of a column that is named like a key (`order`, `min`) ended in an AttributeError."""

import pytest

from lmmkit.errors import StudyError
from lmmkit.study import load_study


@pytest.mark.parametrize("column", ["order", "min", "format"])
def test_a_misspelt_key_of_a_column_that_is_named_like_a_key_is_told(tmp_path, column):
    path = tmp_path / "s.yaml"
    head = "data: {source: d.csv, columns: {"
    path.write_text(f"{head}{column}: {{typ: number}}}}}}\nmodel: {{formula: y ~ 1 + (1 | g)}}")
    with pytest.raises(StudyError) as caught:
        load_study(path)
    at = len(f"{head}{column}: {{") + 1
    assert str(caught.value) == (
        f"s.yaml:1:{at}: data.columns.{column}.typ: unknown key - did you mean type?"
    )
