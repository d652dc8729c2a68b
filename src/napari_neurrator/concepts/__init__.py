"""Which sparse features are active in a patch grid, where, and what they are called."""
