"""Models that others kept: from what a source tells, version by version, to versions of ours."""
