"""The HTTP API: a file for a resource, each with a ``router``; the table is in :mod:`lepton_ai.server.table`."""
