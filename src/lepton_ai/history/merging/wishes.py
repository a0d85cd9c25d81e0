"""How somebody says that a conflict is to be decided."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from lepton_ai.errors import UsageError
from lepton_ai.history.merging.asked import TAKE, rule_of

How = Literal["ours", "theirs", "base", "method", "file"]


def wished(take: str, method: str, file: Path | None) -> tuple[How, str, dict[str, Any]]:
    """The way, the method's name and its parameters: of ``method`` "slerp:t=0.3"; one that takes a side is that side.

    Raises:
        UsageError: not exactly one way is said, or it is none. NotFound: there is no such method.
    """
    said = [word for word in (take, method, file) if word]
    if len(said) != 1:
        raise UsageError(
            "say one way to decide" if not said else "several ways to decide are said",
            hint="--ours, --theirs, --base, --method METHOD or --file FILE",
        )
    if take:
        if take not in TAKE:
            raise UsageError(f"{take!r} is no side", hint="ours, theirs or base")
        return take, "", {}  # type: ignore[return-value]  # one of the three
    if file is not None:
        return "file", "", {}
    rule = rule_of(f"*={method}")
    side = next((side for side, name in TAKE.items() if name == rule.method), None)
    if side is not None:
        return side, "", {}  # type: ignore[return-value]  # likewise
    return "method", rule.method, rule.parameters
