"""Where the history is kept: the contract, the embedded one on SQLite, and one in memory."""
