"""The page on security cannot lie about its limits: each is the constant that the code uses."""

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
LIMITS = re.findall(r"^\| ([^|]+) \| ([\d,]+) \| `([\w.]+)` \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("what", "value", "where"), LIMITS, ids=[limit[0] for limit in LIMITS])
def test_a_limit_is_the_one_in_the_code(what, value, where):
    module, _, name = where.rpartition(".")
    assert int(value.replace(",", "")) == getattr(import_module(module), name)


def test_every_line_of_the_table_is_read():
    table = PAGE.partition("## Limits")[2].partition("\n## ")[0]
    assert len(LIMITS) == table.count("\n|") - 2 >= 14


def test_the_readme_leads_to_it():
    assert "docs/security.md" in (ROOT / "README.md").read_text(encoding="utf-8")
