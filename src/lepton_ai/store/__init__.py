"""Segments of files → sealed, deduplicated objects in packs, and back (DESIGN §7)."""
