"""Pages: the templates of the report, of an audit and of a sweep; one way to fill them in, one to read them."""
