"""Which units carry what was decoded: of a patch, a concept, a word; and what is lost without them."""
