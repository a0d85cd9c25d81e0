"""The server for a team: the HTTP API over the catalog and an object store."""
