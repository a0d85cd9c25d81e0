"""Versions, branches, tags: what was saved when, by whom, upon what, and where its bytes are."""
