"""Readers of file formats: where the tensors of a file are. Live objects of frameworks ⇄ files."""
