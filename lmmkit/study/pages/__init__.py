"""Pages: the templates of the report, of an audit and of a sweep, and the one way to fill them in."""
