"""The verbs of the history, each from values read to one atomic commit.

A function here reads through :class:`~lepton_ai.history.lines.Lines` and returns the commit to make; it writes
nothing. :func:`~lepton_ai.history.changes.attempt.attempt` applies it, and computes it anew when it lost a race.
"""
