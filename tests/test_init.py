"""The names that `import lmmkit` offers, and those that it fetches when they are asked for."""

from types import SimpleNamespace

import pytest

import lmmkit
from lmmkit.model.influence.influence import influence
from lmmkit.model.posterior.posterior import posterior


def test_every_name_that_is_offered_is_there():
    offered = {name for name in lmmkit.__all__ if name != "LMMRegressor"}
    assert {name for name in offered if getattr(lmmkit, name).__module__.startswith("lmmkit.")} == offered
    assert (lmmkit.influence, lmmkit.posterior) == (influence, posterior)
    assert set(lmmkit.LATER) < offered


def test_the_estimator_needs_its_extra(monkeypatch):
    monkeypatch.setattr(lmmkit, "find_spec", lambda name: None)
    with pytest.raises(ImportError) as raised:
        lmmkit.LMMRegressor  # noqa: B018
    assert str(raised.value) == (
        "LMMRegressor needs scikit-learn, which is not installed: pip install 'lmmkit[sklearn]'."
    )
    monkeypatch.setattr(lmmkit, "find_spec", lambda name: name == "sklearn")
    monkeypatch.setattr(lmmkit, "import_module", lambda name: SimpleNamespace(LMMRegressor=name))
    assert lmmkit.LMMRegressor == "lmmkit.model.estimators.regressor"


def test_what_is_not_offered_is_no_attribute():
    with pytest.raises(AttributeError, match=r"^module 'lmmkit' has no attribute 'nothing'$"):
        lmmkit.nothing  # noqa: B018
