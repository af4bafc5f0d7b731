"""Faults on purpose, on real servers, and what must be true after any of them."""
