"""A repository told in plain values: the JSON of the command line and of the server are the same."""
