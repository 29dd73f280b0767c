"""Tables that are made for a picture: shrinkage, profiles, one kind of interval beside another."""
