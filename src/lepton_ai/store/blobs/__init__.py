"""Implementations of the Blobs contract, a file each."""
