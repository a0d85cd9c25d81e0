"""The resources for people and the UI."""
