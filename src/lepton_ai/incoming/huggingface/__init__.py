"""Hugging Face: the cache of a model with its revisions, or a model's folder."""
