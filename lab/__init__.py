"""Real servers, phones and faults on loopback, for the demo, the tests and the benchmarks."""
