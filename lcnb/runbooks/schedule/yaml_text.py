"""Write plain values as YAML. Strings are quoted as in JSON, so that every YAML reader takes them as strings."""

from __future__ import annotations

import json
from typing import Any


def format_yaml(value: Any) -> str:
    """Return dicts, lists and plain values as YAML.

    >>> print(format_yaml({"on": {"schedule": [{"cron": "0 6 * * *"}]}, "retries": 0}), end="")
    on:
      schedule:
        - cron: "0 6 * * *"
    retries: 0
    """
    return "\n".join(_yaml_lines(value)) + "\n"


def _yaml_lines(value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        return [line for key, each in value.items() for line in _entry_lines(str(key), each)]
    if isinstance(value, list) and value:
        return [line for each in value for line in _item_lines(each)]
    return [
        json.dumps(value, ensure_ascii=False)
    ]  # with \u escapes, YAML would read an emoji as two characters


def _entry_lines(key: str, value: Any) -> list[str]:
    lines = _yaml_lines(value)
    if isinstance(value, dict | list) and value:
        return [f"{key}:", *(f"  {line}" for line in lines)]
    return [f"{key}: {lines[0]}"]


def _item_lines(value: Any) -> list[str]:
    first, *rest = _yaml_lines(value)
    return [f"- {first}", *(f"  {line}" for line in rest)]
