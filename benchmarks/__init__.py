"""The figures of docs/performance.md, each measured against its peer in one run: `scripts/bench`."""
