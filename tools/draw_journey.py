"""Draw docs/images/journey.svg: the way of a model into the repository and back."""

from __future__ import annotations

from html import escape
from pathlib import Path

TARGET = Path(__file__).parent.parent / "docs" / "images" / "journey.svg"
WIDTH, HEIGHT = 980, 404
STYLE = """
  text { font: 14px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2933; text-anchor: middle }
  .small { font-size: 12px; fill: #52606d } .row { font-weight: 600; text-anchor: start }
  .box { fill: #f0f6fc; stroke: #6b8cae } .end { fill: #e6f4ea; stroke: #5a9a6f }
  .line { stroke: #6b8cae; fill: none; stroke-width: 1.6 } .arrow { fill: #6b8cae }
  .main { stroke: #3b6ea5; fill: #3b6ea5 } .branch { stroke: #b7791f; fill: #b7791f }
  .gone { stroke: #9aa5b1; fill: #ffffff } .lane { fill: none; stroke-width: 2.4 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e7eb } .small { fill: #9aa5b1 } .box { fill: #1c2a38 } .end { fill: #1d3325 }
    .gone { fill: #0d1117 }
  }
"""
SAVE = [
    ("your model", "file, folder, object", "end"),
    ("tensors", "by name and type", "box"),
    ("blocks", "equal ones once", "box"),
    ("difference", "then compressed", "box"),
    ("sealed", "AES-256-GCM", "box"),
    ("packs", "synced, immutable", "box"),
]
LOAD = [
    ("an address", "v2, a tag, an id", "end"),
    ("version", "immutable record", "box"),
    ("ranges", "only what is asked", "box"),
    ("opened", "key in your folder", "box"),
    ("verified", "at every read", "box"),
    ("the same bytes", "or one tensor", "end"),
]
BOX, GAP, LEFT = 134, 25, 26


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """One line of text around ``x``."""
    name = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}"{name}>{escape(words)}</text>'


def row(y: int, steps: list[tuple[str, str, str]]) -> list[str]:
    """Boxes from left to right with arrows between them."""
    drawn = []
    for number, (title, below, kind) in enumerate(steps):
        x = LEFT + number * (BOX + GAP)
        drawn.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{BOX}" height="56" rx="8"/>')
        drawn += [text(x + BOX / 2, y + 25, title), text(x + BOX / 2, y + 43, below, "small")]
        if number:
            drawn.append(f'<path class="line" d="M{x - GAP + 2} {y + 28}H{x - 9}"/>')
            drawn.append(f'<path class="arrow" d="M{x - 2} {y + 28}l-9 -5v10z"/>')
    return drawn


def dot(x: int, y: int, name: str, kind: str) -> list[str]:
    """A version on its lane."""
    return [f'<circle class="{kind}" cx="{x}" cy="{y}" r="8" stroke-width="2"/>', text(x, y - 15, name)]


def lanes(y: int) -> list[str]:
    """The history: two lanes, a deleted version, a rollback."""
    drawn = [
        f'<path class="lane main" d="M120 {y}H760"/>',
        f'<path class="lane branch" d="M120 {y}C160 {y} 160 {y + 52} 200 {y + 52}H280"/>',
        f'<path class="line" stroke-dasharray="4 4" d="M440 {y + 11}C480 {y + 58} 700 {y + 58} 751 {y + 14}"/>',
        f'<path class="arrow" d="M757 {y + 7}l-11 4l7 7z"/>',
    ]
    for number, x in enumerate((120, 280, 440, 600, 760), 1):
        kind = "gone" if number == 4 else "main"
        drawn += dot(x, y, "v4 deleted" if number == 4 else f"v{number}", kind)
    drawn += [f'<circle class="branch" cx="280" cy="{y + 52}" r="8"/>', text(354, y + 57, "smaller@v2")]
    drawn += [text(600, y + 70, "rollback: v5 is v3 again", "small")]
    return [*drawn, text(872, y + 2, "main"), text(872, y + 20, "moved by compare-and-set", "small")]


def picture() -> str:
    """The whole drawing."""
    parts = [
        text(LEFT, 30, "save", "row"), *row(44, SAVE),
        text(LEFT, 146, "history", "row"), *lanes(194),
        text(LEFT, 310, "load", "row"), *row(324, LOAD),
    ]  # fmt: skip
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    title = "How a model gets into a Lepton AI repository and out again"
    return "\n".join([f'{head} aria-label="{title}">', f"<style>{STYLE}</style>", *parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(picture(), encoding="utf-8")
    print(f"wrote {TARGET}")
