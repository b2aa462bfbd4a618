"""The bot's directory on disk: one process at a time, a name that outlives it, and its last status.

The lock is the kernel's (`flock`): it ends with the process, however that dies, so there is no stale lock to
clear. The status is one small file that is replaced whole, so that `dora status` reads it from another
process without asking the bot.
"""

import fcntl
import json
import os
import uuid
from pathlib import Path
from typing import IO, Any, Self

from dora_bot.errors import ConfigError, StoreError

_STATUS = "status.json"
_LIFE = "life"


class StateDir:
    """An open, locked state directory. Use `StateDir.open`; `close` lets the next process in."""

    def __init__(self, path: Path, lock: IO[str], instance_id: str) -> None:
        self.path = path
        self.instance_id = instance_id
        self._lock = lock

    @classmethod
    def open(cls, path: Path, env: str) -> Self:
        """Create the directory where needed and lock it. It is the environment's (``paper``, ``live`` …) that used it first.

        Raises `ConfigError` if another process holds it, it cannot be written, or it is another environment's.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = (path / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"state directory {path}: {error.strerror}; set DORA_STATE_DIR") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.seek(0)
            lock.truncate()
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            if (owner := _first(path / "environment", env)) != env:
                lock.close()
                raise ConfigError(
                    f"state directory {path} belongs to the environment {owner}, not {env}; set DORA_STATE_DIR"
                )
            return cls(path, lock, _instance_id(path))
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip() or "?"
            lock.close()
            raise ConfigError(
                f"state directory {path} is in use by process {holder}; stop it or set DORA_STATE_DIR"
            ) from error
        except OSError as error:
            lock.close()
            raise ConfigError(f"state directory {path}: {error.strerror}; set DORA_STATE_DIR") from error

    @property
    def journal_path(self) -> Path:
        return self.path / "journal.sqlite"

    def remember_life(self, prefix: str) -> None:
        """What the client order ids of this life begin with, for `last_life`. Raises `StoreError`."""
        try:
            _replace(self.path / _LIFE, prefix.encode())
        except OSError as error:
            raise StoreError(f"state directory {self.path}: {error.strerror}") from error

    def publish_status(self, status: bytes) -> None:
        """Replace the status that `read_status` returns; ``status`` is one JSON object. Raises `StoreError`."""
        try:
            _replace(self.path / _STATUS, status)
        except OSError as error:
            raise StoreError(f"status in {self.path}: {error.strerror}") from error

    def close(self) -> None:
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_status(path: Path) -> dict[str, Any]:
    """The last status published in the state directory ``path``, by whatever process.

    Raises `StoreError` if there is none or it is not a JSON object.
    """
    try:
        status = json.loads((path / _STATUS).read_bytes())
    except FileNotFoundError as error:
        raise StoreError(f"no status in {path}: the bot has not run with this DORA_STATE_DIR") from error
    except (OSError, ValueError) as error:
        raise StoreError(f"status in {path} cannot be read: {error}") from error
    if not isinstance(status, dict):
        raise StoreError(f"status in {path} is not a JSON object")
    return status


def last_life(path: Path) -> str:
    """What the client order ids of the last life in the state directory ``path`` begin with; empty: there was none.

    Raises `StoreError` if that cannot be read.
    """
    try:
        return (path / _LIFE).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise StoreError(f"state directory {path}: {error}") from error


def is_held(path: Path) -> bool:
    """Whether a process holds the state directory ``path``, which is how a running bot is told from a dead one."""
    try:
        with (path / "lock").open("a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _instance_id(path: Path) -> str:
    return _first(path / "instance", uuid.uuid4().hex[:12])


def _first(file: Path, text: str) -> str:
    """What the file holds since it was first asked for, which is ``text`` now."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        _replace(file, text.encode())
        return text


def _replace(file: Path, content: bytes) -> None:
    fresh = file.with_name(file.name + ".new")
    fresh.write_bytes(content)
    fresh.replace(file)
