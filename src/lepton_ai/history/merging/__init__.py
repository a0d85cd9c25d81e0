"""Bringing two lines of versions together: what was common, what each changed, and what comes of it."""
