"""What lies between two versions: files, tensors and what training did to them, what was told, the architecture."""
