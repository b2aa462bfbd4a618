"""Runs what the documentation tells people to type, and holds it to what it says.

Every block fenced as ``console`` in README.md and docs/ is one shell session. Lines that begin with ``$`` are
typed, the rest is output for the reader. The words after ``console`` change that:

- ``live``: needs an account, a network or a person; not run.
- ``output``: the lines below a command are compared with what it prints; ``…`` stands for anything.
- ``timeout=SECONDS``: instead of 120 for the whole block.

A command must exit 0, or with N where its line ends in ``# exit N``. Blocks run in an empty folder with a
``make`` that works on this tree, a home and a DORA_STATE_DIR of their own, and no AWS or DORA variable.
``--quick`` runs nothing: it checks that blocks can be read, that links lead somewhere and that targets exist.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_TIMEOUT_S = 120.0
MARK = "\x1e"
"""Printed by the session after each command with its exit code; nothing else prints a record separator."""


@dataclass(frozen=True)
class Command:
    """One line to type, the exit code it must end with, and the output shown below it."""

    text: str
    exit_code: int
    output: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """One ``console`` block and where it stands."""

    path: Path
    line: int
    words: frozenset[str]
    commands: tuple[Command, ...]

    @property
    def timeout_s(self) -> float:
        given = [word.removeprefix("timeout=") for word in self.words if word.startswith("timeout=")]
        return float(given[0]) if given else DEFAULT_TIMEOUT_S

    @property
    def place(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(path: Path, text: str) -> Iterator[Block]:
    for found in re.finditer(r"^```console([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(path, line, frozenset(found[1].split()), tuple(commands_of(found[2])))


def commands_of(body: str) -> Iterator[Command]:
    """Split a session at its prompts; a command goes on while its lines end in a backslash."""
    joined = body.replace("\\\n", "")
    for part in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]:
        typed, *output = part.rstrip("\n").split("\n")
        expected = re.search(r"\s+# exit (\d+)$", typed)
        text = typed[: expected.start()] if expected else typed
        yield Command(text, int(expected[1]) if expected else 0, tuple(output))


def session_script(block: Block) -> str:
    return "".join(f"{command.text}\nprintf '{MARK}%s{MARK}' $?\n" for command in block.commands)


def prepare(folder: Path) -> dict[str, str]:
    """Lay out the folder a reader would stand in; returns the environment of its shell."""
    (folder / "Makefile").write_text(f".DEFAULT:\n\t@$(MAKE) --no-print-directory -C {ROOT} $@\n")
    for name in (".venv", "scripts", "docs", "tests", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DORA_"))}
    return kept | {
        "PATH": f"{ROOT / '.venv' / 'bin'}:{kept.get('PATH', '')}",
        "HOME": str(folder),
        "DORA_STATE_DIR": str(folder / ".dora"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "TERM": "dumb",
        "COLUMNS": "80",
    }


def run_session(block: Block, folder: Path, environment: dict[str, str]) -> str:
    """What the session printed, or with ``timeout`` at its end what it had printed until then."""
    log = folder / "session.log"
    with log.open("wb") as output:
        shell = subprocess.Popen(
            ["bash", "-c", session_script(block)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            shell.wait(block.timeout_s)
        except subprocess.TimeoutExpired:
            output.write(f"\n(no end within {block.timeout_s:.0f} s)\n".encode())
        finally:
            end_group(shell.pid)
            shell.wait()
    return log.read_text(errors="replace")


def end_group(group: int) -> None:
    """Stop what a block left running in the background, first politely."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(group, kind)
        except ProcessLookupError:
            return
        if kind == signal.SIGTERM:
            time.sleep(1.0)


def judge(block: Block, printed: str) -> Iterator[str]:
    """Compare each command's exit code and, where asked, its output with what the text says."""
    parts = printed.split(MARK)
    results = list(zip(parts[0::2], parts[1::2], strict=False))
    for number, command in enumerate(block.commands):
        if number >= len(results):
            yield f"{block.place}: `{command.text}` did not end: {printed[-600:].strip()}"
            return
        output, status = results[number]
        if int(status) != command.exit_code:
            yield f"{block.place}: `{command.text}` exited {status}, not {command.exit_code}: {output[-600:].strip()}"
        elif "output" in block.words and not matches(command.output, output):
            yield (
                f"{block.place}: `{command.text}` printed\n{output.strip()}\nand the text says\n"
                + "\n".join(command.output)
            )


def matches(expected: Sequence[str], output: str) -> bool:
    pattern = ".*?".join(re.escape(piece) for piece in "\n".join(expected).strip().split("…"))
    return re.fullmatch(pattern, output.strip(), re.DOTALL) is not None


def quick_problems(path: Path, text: str) -> Iterator[str]:
    """Links that lead nowhere, commands without a target, blocks without a command."""
    name = path.relative_to(ROOT)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)#\s]+)", prose):
        if "://" not in link and not (path.parent / link).exists():
            yield f"{name}: the link to {link} leads nowhere"
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"(?:^\$ |`)make ([a-z-]+)", text, re.MULTILINE):
        if target not in targets:
            yield f"{name}: there is no `make {target}`"
    for block in blocks_of(path, text):
        if not block.commands:
            yield f"{block.place}: a console block without a command"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="run nothing, only read")
    quick = parser.parse_args().quick
    found = [problem for path in documents() for problem in quick_problems(path, path.read_text())]
    for problem in found:
        print(f"docs: {problem}", flush=True)
    blocks = [block for path in documents() for block in blocks_of(path, path.read_text())]
    ran = [] if quick else [block for block in blocks if "live" not in block.words]
    for block in ran:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="dora-docs-") as folder:
            problems = list(judge(block, run_session(block, Path(folder), prepare(Path(folder)))))
        for problem in problems:
            print(f"docs: {problem}", flush=True)
        verdict = "FAILED" if problems else "ok"
        print(f"docs: {block.place} {verdict} in {time.monotonic() - began:.1f} s", flush=True)
        found += problems
    print(f"docs: {len(blocks)} console blocks, {len(ran)} run, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
