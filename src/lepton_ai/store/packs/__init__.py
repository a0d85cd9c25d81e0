"""Packs: the immutable files that hold objects."""
