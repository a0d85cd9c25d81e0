"""The benchmark's models: each series is really trained, from a seed."""
