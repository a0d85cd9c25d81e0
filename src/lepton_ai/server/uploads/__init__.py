"""Packs on their way in: kept byte by byte, so that any server of several can go on where another was cut off."""
