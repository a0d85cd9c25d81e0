"""What a commit must hold before a server applies it (decision 0018)."""
