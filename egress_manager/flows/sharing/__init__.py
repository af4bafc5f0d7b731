"""Several processes share the work: who is alive, who is at what, who takes over."""
