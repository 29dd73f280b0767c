"""A label of two lines, each a whole number: the order of the levels ended in a fault of `int`."""

from lmmkit.model.table.labels import in_order


def test_it_stands_by_its_bytes():
    assert in_order(["10", "9\n8", "9"]) == ["10", "9", "9\n8"]
