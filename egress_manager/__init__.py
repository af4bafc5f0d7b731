"""Egress Manager: the call recorder for self-hosted LiveKit."""
