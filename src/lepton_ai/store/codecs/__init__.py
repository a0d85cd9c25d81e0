"""Codecs: how the plain bytes of a block become fewer bytes, a file each."""
