"""Cutting files into blocks and putting them together again."""
