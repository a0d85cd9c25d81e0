"""Repositories at an address, and what travels between two: the same verbs over HTTP, resumable transfers."""
