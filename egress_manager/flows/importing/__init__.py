"""Files that are there already become recordings."""
