"""What is claimed about speed and memory, measured: see docs/benchmarks.md."""
