"""Holds the tree to its own budgets: what ruff and mypy do not say about size, suppressions and empty tests.

Usage: ``python scripts/house_check.py``; prints one line per finding and exits 1 if there is any.
Checked are all Python files that git tracks or would track.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 400
MAX_PARAMETERS = 7

UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
NOQA = re.compile(r"#\s*noqa(?P<rest>.*)")
IGNORE = re.compile(r"#\s*type:\s*ignore(?P<rest>.*)")
UNCOVERED = re.compile(r"#\s*pragma:\s*no\s+cover(?P<rest>.*)")
REASON = re.compile(r"[A-Za-z]{3,}")
CHECKING_CALL = re.compile(r"raises|warns|assert|expect|check|verify|must|fail")
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


class Finding(NamedTuple):
    """One place that breaks a rule."""

    line: int
    message: str


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Every comment of the source with its line number."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def suppression_findings(source: str) -> Iterator[Finding]:
    """Suppressions must name what they suppress and say why on the same line."""
    for line, comment in comments(source):
        for pattern, codes in (
            (NOQA, r"\s*:\s*[A-Z]+\d+(?:\s*,\s*[A-Z]+\d+)*"),
            (IGNORE, r"\s*\[[a-z\-, ]+\]"),
            (UNCOVERED, ""),
        ):
            found = pattern.search(comment)
            if found is None:
                continue
            named = re.match(codes, found["rest"])
            if named is None:
                yield Finding(line, f"suppresses without naming the rule: {comment}")
            elif not REASON.search(found["rest"][named.end() :]):
                yield Finding(line, f"suppresses without a reason: {comment}")


def comment_findings(source: str) -> Iterator[Finding]:
    """Work left to do belongs in the tracker, not in the code."""
    for line, comment in comments(source):
        if UNFINISHED.search(comment):
            yield Finding(line, f"left to do: {comment}")


def parameter_count(function: FunctionNode) -> int:
    """Parameters a caller passes, so without ``self`` and ``cls``."""
    arguments = function.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def asserts_something(function: FunctionNode) -> bool:
    """Whether a test holds an ``assert``, or calls something whose name says that it checks."""
    return any(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Call) and CHECKING_CALL.search(ast.unparse(node.func)))
        for node in ast.walk(function)
    )


def is_command(function: FunctionNode) -> bool:
    """Whether it is a command of the CLI, whose parameters are the options people type."""
    return any(".command" in ast.unparse(decorator) for decorator in function.decorator_list)


def function_findings(function: FunctionNode, *, is_test: bool) -> Iterator[Finding]:
    """Size of one function, and whether a test tests."""
    size = (function.end_lineno or function.lineno) - function.lineno + 1
    if size > MAX_FUNCTION_LINES:
        yield Finding(function.lineno, f"{function.name} has {size} lines, more than {MAX_FUNCTION_LINES}")
    count = parameter_count(function)
    if not is_test and not is_command(function) and count > MAX_PARAMETERS:
        yield Finding(
            function.lineno, f"{function.name} takes {count} parameters, more than {MAX_PARAMETERS}"
        )
    if is_test and function.name.startswith("test_") and not asserts_something(function):
        yield Finding(function.lineno, f"{function.name} asserts nothing")


def handler_findings(handler: ast.ExceptHandler, lines: list[str]) -> Iterator[Finding]:
    """A broad or silent handler must say on its line what it ends in."""
    caught = ast.unparse(handler.type) if handler.type else "everything"
    broad = caught in {"everything", "Exception", "BaseException"}
    silent = len(handler.body) == 1 and isinstance(handler.body[0], ast.Pass)
    if (broad or silent) and "# policy:" not in lines[handler.lineno - 1]:
        yield Finding(handler.lineno, f"except {caught} without '# policy: <what it ends in>' on its line")


def raise_findings(node: ast.Raise) -> Iterator[Finding]:
    """Abstract things are Protocols here, so this exception only ever means unfinished code."""
    if node.exc is not None and "NotImplementedError" in ast.unparse(node.exc):
        yield Finding(node.lineno, "unfinished: raises NotImplementedError")


def private_import_findings(node: ast.ImportFrom) -> Iterator[Finding]:
    """What starts with an underscore is its module's own business, tests included."""
    for name in node.names:
        if name.name.startswith("_") and not name.name.startswith("__"):
            yield Finding(node.lineno, f"imports the private name {name.name}")


def findings(source: str, *, is_test: bool) -> list[Finding]:
    """Everything wrong with one file's text, in the order of its lines."""
    lines = source.splitlines()
    found = [*suppression_findings(source), *comment_findings(source)]
    if len(lines) > MAX_FILE_LINES and not is_test:
        found.append(Finding(1, f"{len(lines)} lines, more than {MAX_FILE_LINES}"))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, FunctionNode):
            found += function_findings(node, is_test=is_test)
        elif isinstance(node, ast.ExceptHandler) and not is_test:
            found += handler_findings(node, lines)
        elif isinstance(node, ast.Raise) and not is_test:
            found += raise_findings(node)
        elif isinstance(node, ast.ImportFrom):
            found += private_import_findings(node)
    return sorted(found)


def python_files(root: Path) -> list[Path]:
    """Files that git tracks or would track, so that a new file is judged before it is committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for line in listed.stdout.splitlines() if (path := root / line).exists()]


def main() -> int:
    root = Path(__file__).resolve().parents[1]
    bad = 0
    for path in python_files(root):
        relative = path.relative_to(root)
        for finding in findings(path.read_text(), is_test=relative.parts[0] == "tests"):
            print(f"{relative}:{finding.line}: {finding.message}")
            bad += 1
    print(f"house: {bad} findings" if bad else "house: clean")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
