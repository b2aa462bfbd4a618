"""Reads the ceilings file, and only believes it if nobody could have changed it who must not.

A file that group or others may write is refused everywhere. In live trading the file and every folder above it
must belong to root: who can rename a folder can put another file in its place.
"""

import hashlib
import os
import stat
import tomllib
from decimal import Decimal
from pathlib import Path

from dora_bot.ceilings import Ceilings, ceilings_from
from dora_bot.config import Settings
from dora_bot.errors import ConfigError

MAX_BYTES = 1_000_000
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_ROOT = 0


def read_ceilings(settings: Settings) -> Ceilings:
    """The limits file, or the paper defaults. Raises `ConfigError`; live without a file is refused."""
    path = settings.ceilings_path
    live = settings.env == "live"
    if path is None:
        if live:
            raise ConfigError("DORA_CEILINGS_PATH is required for live trading")
        return Ceilings()
    try:
        return _read(path, root_only=live)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ConfigError) as error:
        raise ConfigError(f"ceilings file {path}: {error}") from error


def _read(path: Path, *, root_only: bool) -> Ceilings:
    content = guarded_bytes(path, root_only=root_only)
    raw = tomllib.loads(content.decode(), parse_float=Decimal)
    ceilings = ceilings_from(raw, f"{path} sha256 {hashlib.sha256(content).hexdigest()}")
    if ceilings.ca_file:
        guarded_bytes(Path(ceilings.ca_file), root_only=root_only, what="ca_file")
    return ceilings


def guarded_bytes(path: Path, *, root_only: bool, secret: bool = False, what: str = "it") -> bytes:
    """What is in a file that only its owner may write, with ``root_only`` only root. Raises `ConfigError`.

    A ``secret`` may be the bot's own file, too, and nobody else may read it.
    """
    try:
        with path.open("rb") as file:
            # The open file is judged, not its name: another could stand under that a moment later.
            found = os.fstat(file.fileno())
            own = secret and found.st_uid == os.getuid()
            _require_guarded(what, found, root_only=root_only and not own)
            if secret and found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigError(f"{what} is open to others than its owner; `chmod go=` it")
            content = file.read(MAX_BYTES + 1)
        if root_only:
            for folder in path.resolve(strict=True).parents:
                _require_guarded(f"the folder {folder}", folder.stat(), root_only=True)
    except OSError as error:
        raise ConfigError(str(error.strerror) if what == "it" else f"{what}: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{what} is longer than {MAX_BYTES} bytes")
    return content


def _require_guarded(what: str, found: os.stat_result, *, root_only: bool) -> None:
    if root_only and found.st_uid != _ROOT:
        raise ConfigError(f"{what} does not belong to root; `chown root` it, and let nobody else write it")
    # In a sticky folder (/tmp) others may add files, but not rename or remove root's.
    sticky_folder = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
    if found.st_mode & _OTHERS_WRITE and not sticky_folder:
        raise ConfigError(f"{what} is writable by others than its owner; `chmod go-w` it")
