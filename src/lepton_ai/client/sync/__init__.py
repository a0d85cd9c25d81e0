"""Versions, names and objects travelling between two places of one repository."""
