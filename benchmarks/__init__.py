"""Speed, memory and precision of the whole manager: `python -m benchmarks [NAME …] [--quick]`."""
