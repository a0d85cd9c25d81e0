"""The table of routers: a new resource is one line here."""

from __future__ import annotations

from fastapi import APIRouter

from lepton_ai.server.routes import (
    branches,
    diffs,
    docs,
    events,
    files,
    health,
    history,
    jobs,
    keys,
    labels,
    login,
    logs,
    me,
    merges,
    packs,
    removed,
    repositories,
    sessions,
    tensors,
    tokens,
    uploads,
    users,
    versions,
)

AT_ROOT: tuple[APIRouter, ...] = (health.router, docs.router)
"""Answered at the root of the server."""

UNDER_API: tuple[APIRouter, ...] = (
    login.router,
    me.router,
    tokens.router,
    sessions.router,
    users.router,
    repositories.router,
    removed.router,
    keys.router,
    history.router,
    packs.router,
    uploads.router,
    files.router,
    tensors.router,
    versions.router,
    branches.router,
    labels.router,
    diffs.router,
    merges.router,
    logs.router,
    jobs.router,
    events.router,
)
"""Answered under ``/api/v1``."""
