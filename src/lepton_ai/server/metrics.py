"""Numbers for Prometheus. Several workers write theirs to a shared folder; any tells the sum."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from lepton_ai._version import __version__

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Set before this module is imported, it makes the numbers of several processes one."""

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
MEDIA_TYPE = CONTENT_TYPE_LATEST


disable_created_metrics()  # type: ignore[no-untyped-call]  # a third of the lines, of no use to a rate


class Metrics:
    """The numbers of this process. Labels are few: routes by their template, never by what stands in them."""

    def __init__(self) -> None:
        self._folder = os.environ.get(FOLDER_VARIABLE, "")
        self._registry = CollectorRegistry()
        registry = self._registry
        what = ["method", "route", "status"]
        self.requests = Counter("lepton_ai_http_requests", "Requests answered.", what, registry=registry)
        self.seconds = Histogram(
            "lepton_ai_http_request_seconds",
            "Seconds from a request's head to the end of its answer.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "lepton_ai_http_requests_in_flight",
            "Requests being answered.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.sent = Counter("lepton_ai_http_response_bytes", "Bytes of answers sent.", registry=registry)
        self.refused = Counter("lepton_ai_refused", "Requests refused.", ["why"], registry=registry)
        self.streams = Gauge(
            "lepton_ai_event_streams",
            "Open streams of events.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.info = Gauge(
            "lepton_ai_build_info",
            "Always 1.",
            ["version"],
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.info.labels(__version__).set(1)
        if not self._folder:
            ProcessCollector(namespace="lepton_ai", registry=registry)
            GCCollector(registry=registry)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        if not self._folder:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together, path=self._folder)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def forget_dead_processes() -> None:
    """Drop what processes that live no more said of their present (not what they counted)."""
    folder = os.environ.get(FOLDER_VARIABLE, "")
    if not folder:
        return
    for path in Path(folder).glob("gauge_live*_*.db"):
        number = int(path.stem.rpartition("_")[2])
        if not Path(f"/proc/{number}").exists() and Path("/proc").exists():
            multiprocess.mark_process_dead(number, path=folder)  # type: ignore[no-untyped-call]
