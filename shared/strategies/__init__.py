"""Trading ideas, one module each: drop a file with a ``STRATEGY`` in and it runs (S1). See docs/strategies.md."""
