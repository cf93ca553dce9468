"""Stand-ins for what production has around the workers: for laptops, the demo, tests and benchmarks."""
