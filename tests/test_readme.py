"""What the README shows, works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from lmmkit.study import load_study

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", README, re.DOTALL).group(1)


def test_the_study_of_five_lines_is_a_study(tmp_path):
    text = block("yaml")
    assert len(text.splitlines()) == 5
    (tmp_path / "scores.yaml").write_text(text)
    assert load_study(tmp_path / "scores.yaml").settings.model.formula == "score ~ week + (week | child)"


def test_the_library_example_prints_a_summary():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block("python")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Days" in done.stdout


def test_every_shipped_study_is_named():
    named = set(re.findall(r"`params/(\w+\.yaml)`", README))
    assert named == {path.name for path in (ROOT / "params").glob("*.yaml") if ".sweep" not in path.name}


def test_every_file_it_points_to_is_there():
    named = set(re.findall(r"`((?:docs|params)/[\w./]+\.\w+)`|\((docs/[\w./]+)\)", README))
    assert named
    assert all((ROOT / (one or other)).exists() for one, other in named)
