"""Recordings and calls are sealed, held against their seals, and restored from their sidecars."""
