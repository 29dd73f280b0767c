"""Study and sweep files: strict YAML, checked against one schema, every fault in its place.

Read `schema.py` (the keys), then `study.py` (a file read, overridden, resolved).
"""
