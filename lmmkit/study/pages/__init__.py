"""Pages: the templates of the report, an audit and a sweep; one way to fill them in, one to read them."""
