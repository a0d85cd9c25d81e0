"""The sync wire (decision 0018)."""
