"""A difference, or a tensor's course, as HTML that needs nothing beside it: inline style and SVG, no script.

What others wrote (names, messages, params) is escaped. Colours follow the text's, so that it fits light and dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from lepton_ai.history.course import Course
from lepton_ai.history.diff import charts, words
from lepton_ai.history.diff.contract import SECTIONS, Numbers, Part, Report, TensorChange, Told

STYLE = """
.lepton{font:14px/1.45 system-ui,sans-serif;max-width:1100px;--up:#2f7fd6;--down:#d1603d;
--faint:color-mix(in srgb,currentColor 14%,transparent)}
.lepton h1{font-size:1.5em;margin:.2em 0}.lepton h2{font-size:1.1em;margin:1.6em 0 .4em}
.lepton p{margin:.4em 0}.lepton small,.lepton .dim{opacity:.65}
.lepton .scroll{overflow-x:auto}.lepton table{border-collapse:collapse}
.lepton th,.lepton td{text-align:left;padding:.25em .9em .25em 0;border-bottom:1px solid var(--faint)}
.lepton th,.lepton td{vertical-align:middle;background:none}
.lepton th{font-weight:600;white-space:nowrap}
.lepton td.n,.lepton th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.lepton .name{font-family:ui-monospace,monospace;font-size:.92em}
.lepton td.name{overflow-wrap:anywhere;min-width:16em}
.lepton .alarm{border:2px solid #d22;border-radius:6px;padding:.5em .8em;font-weight:600}
.lepton .added{color:#2a9d4a}.lepton .removed{color:#d1603d}
.lepton svg text{fill:currentColor;font-size:11px;opacity:.75}
.lepton svg.plot{width:100%;max-width:820px}
.lepton .up{fill:var(--up)}.lepton .down{fill:var(--down)}
.lepton .axis,.lepton .grid{stroke:currentColor;stroke-opacity:.2;fill:none}
.lepton .line{stroke:var(--up);stroke-width:2;fill:none}.lepton circle{fill:var(--up)}
"""
_PAGE = ":root{color-scheme:light dark}body{margin:2em;background:Canvas;color:CanvasText}"
IN_NOTEBOOK = 60
"""Tensors that a notebook shows; a page shows all."""


def difference(report: Report) -> str:
    """The whole page of a difference."""
    return _document(f"{report.before.label} → {report.after.label}", _difference(report, None))


def part_of_difference(report: Report) -> str:
    """The same for a notebook, which has a page already."""
    return _part(_difference(report, IN_NOTEBOOK))


def course(found: Course) -> str:
    """The whole page of a tensor's course."""
    return _document(f"{found.name} on {found.branch}", _course(found))


def part_of_course(found: Course) -> str:
    """The same for a notebook."""
    return _part(_course(found))


def _document(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_PAGE}</style></head><body>{_part(body)}</body></html>\n"
    )


def _part(body: str) -> str:
    return f'<div class="lepton"><style>{STYLE}</style>{body}</div>'


def _difference(report: Report, most: int | None) -> str:
    ids = " → ".join(side.id[:12] if side.id else "on disk" for side in (report.before, report.after))
    head = (
        f"<h1>{escape(report.before.label)} → {escape(report.after.label)}</h1><small>{escape(ids)}</small>"
    )
    said = "".join(f"<p>{escape(line)}</p>" for line in words.verdict(report))
    alarms = "".join(f'<p class="alarm">⚠ {escape(line)}</p>' for line in words.warnings(report))
    notes = "".join(f'<p class="dim">{escape(line)}</p>' for line in report.notes)
    told = "".join(_told(title, getattr(report, name)) for name, title in SECTIONS)
    shown = _layers(report) + _tensors(report, most) + _files(report) + _parts(report.architecture)
    return head + alarms + said + notes + told + shown + _read(report)


def _told(title: str, lines: Sequence[Told]) -> str:
    rows = [(escape(one.key), escape(words.change(one))) for one in lines]
    return f"<h2>{title}</h2>" + _table((), rows) if rows else ""


def _layers(report: Report) -> str:
    known = [layer for layer in report.layers if layer.l2_relative is not None]
    if len(known) < 2:
        return ""
    top = max((layer.l2_relative or 0 for layer in known if math.isfinite(layer.l2_relative or 0)), default=0)
    rows = [
        (
            f'<span class="name">{escape(layer.name or "(top)")}</span>',
            str(layer.tensors),
            charts.bar((layer.l2_relative or 0) / top if top else 0),
            words.relative(layer.l2_relative),
            words.percent(layer.changed_fraction),
            words.short(layer.max_abs),
        )
        for layer in known
    ]
    titles = ("Layer", "Tensors", "", "Moved", "Changed", "Max |Δ|")
    return "<h2>Layers by how far they moved</h2>" + _table(titles, rows, right={1, 3, 4, 5})


def _tensors(report: Report, most: int | None) -> str:
    if not report.tensors:
        return ""
    shown = report.tensors[:most]
    order = {layer.name: place for place, layer in enumerate(report.layers)}
    grouped = sorted(shown, key=lambda tensor: order.get(tensor.layer, len(order)))
    rows = [_tensor(tensor) for tensor in grouped]
    titles = ("Tensor", "Changed", "Moved", "Max |Δ|", "Cosine", "Mean", "Std", "Δ, small to large")
    left = len(report.tensors) - len(shown)
    more = f'<p class="dim">{left} more: .page() and lepton diff --html show all</p>' if left else ""
    partly = words.partly(report)
    note = f'<p class="dim">{escape(partly)}</p>' if partly else ""
    return "<h2>Tensors</h2>" + _table(titles, rows, right={1, 2, 3, 4, 5, 6}, names=True) + note + more


def _tensor(tensor: TensorChange) -> tuple[str, ...]:
    was = tensor.name_before
    former = f"<br><small>was {escape(was)}</small>" if was and was != tensor.name else ""
    mark = "" if tensor.status == "changed" else f' <small class="{tensor.status}">{tensor.status}</small>'
    note = f"<br><small>{escape(tensor.note)}</small>" if tensor.note else ""
    return (
        f"{escape(tensor.name)}{mark}{former}<br><small>{escape(words.kind(tensor))}</small>{note}",
        words.percent(tensor.changed_fraction),
        words.moved(tensor),
        words.short(tensor.max_abs),
        words.cosine(tensor.cosine),
        _both(tensor.before, tensor.after, "mean"),
        _both(tensor.before, tensor.after, "std"),
        charts.histogram(tensor.histogram),
    )


def _both(before: Numbers | None, after: Numbers | None, what: str) -> str:
    sides = [words.short(getattr(side, what)) for side in (before, after) if side is not None]
    return "<br>→ ".join(dict.fromkeys(side or "–" for side in sides))


def _files(report: Report) -> str:
    rows = [
        (
            f'<span class="{file.status}">{file.status}</span>',
            escape(
                file.path if file.path_before in (None, file.path) else f"{file.path_before} → {file.path}"
            ),
            " → ".join(f"{size:,} B" for size in (file.size_before, file.size) if size is not None),
        )
        for file in report.files
    ]
    return "<h2>Files</h2>" + _table((), rows) if rows else ""


def _parts(parts: Iterable[Part]) -> str:
    rows = []
    for part in parts:
        changed = "<br>".join(
            f"{escape(key)}: {escape(' → '.join(side for side in sides if side is not None))}"
            for key, sides in part.attributes.items()
        )
        status = f'<span class="{part.status}">{part.status}</span>'
        rows.append((status, escape(part.kind), escape(part.name), changed))
    return "<h2>Architecture</h2>" + _table((), rows) if rows else ""


def _read(report: Report) -> str:
    if not report.bytes:
        return ""
    return (
        f'<p class="dim">Read {report.bytes_read:,} of {report.bytes:,} bytes of tensors: '
        "blocks that are known to be equal are not read.</p>"
    )


def _course(found: Course) -> str:
    labels, values = [p.version for p in found.points], [p.value for p in found.points]
    rows = [
        (
            escape(point.version),
            escape(point.time[:19].replace("T", " ")),
            "" if point.value is None else f"{point.value:.6g}",
            "" if point.delta is None else f"{point.delta:+.3g}",
            escape(" ".join(f"{key}={words.value(value)}" for key, value in point.update.items())),
            escape(point.message or point.note),
        )
        for point in found.points
    ]
    titles = ("Version", "Saved", "Value", "Change", "Update", "Message")
    head = f"<h1>{escape(found.name)} <small>{escape(found.what)} on {escape(found.branch)}</small></h1>"
    return head + charts.line(labels, values) + _table(titles, rows, right={2, 3})


def _table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = (), names: bool = False
) -> str:
    """``rows`` are HTML already."""
    aligned = set(right)

    def cell(tag: str, place: int, text: str) -> str:
        kind = "n" if place in aligned else "name" if names and place == 0 and tag == "td" else ""
        return f"<{tag} class={kind}>{text}</{tag}>" if kind else f"<{tag}>{text}</{tag}>"

    head = "".join(cell("th", place, title) for place, title in enumerate(titles))
    body = "".join(
        "<tr>" + "".join(cell("td", place, text) for place, text in enumerate(row)) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table>{f"<tr>{head}</tr>" if head else ""}{body}</table></div>'
