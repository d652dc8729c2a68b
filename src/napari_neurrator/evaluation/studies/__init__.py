"""Studies: one configuration each, one report of the same format."""
