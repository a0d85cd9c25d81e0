"""Deciding anew how what is stored should be stored: plan, code, pack."""
