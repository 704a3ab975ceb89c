"""Write plain values as YAML: strings are quoted as in JSON, which every YAML reader takes as strings."""

from __future__ import annotations

import json
from typing import Any


def format_yaml(value: Any) -> str:
    """YAML of plain values. Texts are written as JSON writes them, which every YAML reader takes as texts."""
    return "\n".join(_yaml_lines(value)) + "\n"


def _yaml_lines(value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        lines = []
        for key, each in value.items():
            inner = _yaml_lines(each)
            flat = not isinstance(each, dict | list) or not each
            lines += [f"{key}: {inner[0]}"] if flat else [f"{key}:", *(f"  {line}" for line in inner)]
        return lines
    if isinstance(value, list) and value:
        lines = []
        for each in value:
            first, *rest = _yaml_lines(each)
            lines += [f"- {first}", *(f"  {line}" for line in rest)]
        return lines
    return [
        json.dumps(value, ensure_ascii=False)
    ]  # JSON would write an emoji in two halves, YAML in one piece
