"""The venue's published specifications as JSON Schema validators."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker


@lru_cache
def _document(path: Path) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506  (a safe loader, in C where there is one)
    return dict(_plain(document))


def _plain(node: Any) -> Any:
    """OpenAPI 3.0's ``nullable`` in the words of JSON Schema."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {name: _plain(value) for name, value in node.items() if name != "nullable"}
    return {"anyOf": [made, {"type": "null"}]} if node.get("nullable") is True else made


class Specification:
    """One YAML document whose ``components`` its schemas refer to."""

    def __init__(self, path: Path) -> None:
        self.document = _document(path)

    def problems(self, schema: dict[str, Any], value: object) -> list[str]:
        """What is wrong with the value, one line for each finding."""
        whole = {**schema, "components": self.document["components"]}
        validator = Draft202012Validator(whole, format_checker=FormatChecker())
        return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)]


class OpenApi(Specification):
    """Finds the response schema of an operation by method and concrete path."""

    def reply_schema(self, method: str, path: str, status: int) -> dict[str, Any] | None:
        """The JSON schema of a reply, None where the reply has no body. Raises KeyError where undocumented."""
        operation = self.document["paths"][self.template(method, path)][method.lower()]
        content = operation["responses"][str(status)].get("content")
        return dict(content["application/json"]["schema"]) if content else None

    def template(self, method: str, path: str) -> str:
        templates = sorted(self.document["paths"], key=lambda t: t.count("{"))
        for template in templates:
            pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
            if re.fullmatch(pattern, path) and method.lower() in self.document["paths"][template]:
                return str(template)
        raise KeyError(f"{method} {path}")


class AsyncApi(Specification):
    """Finds the payload schema of a frame by its type."""

    def frame_problems(self, name: str, frame: object) -> list[str]:
        """``name`` as in the document's messages, e.g. ``orderbookSnapshot``."""
        payload = self.document["components"]["messages"][name]["payload"]
        return self.problems(dict(payload), frame)
