"""One reader for each kind of sorted source; `open_recording` chooses."""
