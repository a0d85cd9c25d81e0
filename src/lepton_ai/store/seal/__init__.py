"""Seals: how the bytes of an object are encrypted, and the keys for it."""
