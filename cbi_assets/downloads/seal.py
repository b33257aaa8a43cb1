"""The keyed seal of standing approvals: this home's key, and the head of its chain of rows.

The key is `CBI_HOME/standing.key`, 32 random bytes that only the owner may read. The head, next to
it, states how many rows were sealed and the newest one's seal, so that deleted rows are noticed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cbi_assets.config.settings import Home
from cbi_assets.errors import UsageError
from cbi_assets.files import write_atomically

KEY_BYTES: Final = 32
START_AGAIN: Final = (
    "If nobody tampered with it, restore the warehouse and CBI_HOME/standing.* from one backup, or "
    "delete standing.key and standing.head and approve again."
)


class StandingError(UsageError):
    """No standing approval allows it. `code` says why: none, expired, revoked, key, seal, deleted,
    clock, scope, run or month (the ceiling).
    """


@dataclass(frozen=True)
class SealKey:
    """The key of one home. `id` is public: the rows that it sealed name it."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """Twelve hex digits of the key's sha256."""
        return hashlib.sha256(self.secret).hexdigest()[:12]

    def seal(self, document: Mapping[str, Any]) -> str:
        """Return the HMAC-SHA256 of the canonical JSON of a document."""
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()

    def has_sealed(self, document: Mapping[str, Any], seal: str) -> bool:
        """Whether `seal` is this key's seal of the document."""
        return hmac.compare_digest(self.seal(document).encode(), seal.encode())


@dataclass(frozen=True)
class Head:
    """How many rows were sealed, and the newest one's seal."""

    rows: int = 0
    seal: str = ""


def read_key(home: Home) -> SealKey | None:
    """Return the home's key, None if there is none.

    Raises StandingError if others could read the file, or it is not a key.
    """
    path = home.standing_key
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _bad_key(home, f"it cannot be read ({error.strerror})") from None
    with file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or state.st_uid != os.getuid():
            raise _bad_key(home, "it is not a file of this user")
        if stat.S_IMODE(state.st_mode) != 0o600:
            raise _bad_key(home, f"its mode is {stat.S_IMODE(state.st_mode):03o}, not 600")
        secret = file.read(KEY_BYTES + 1)
    if len(secret) != KEY_BYTES:
        raise _bad_key(home, f"it is not {KEY_BYTES} bytes long")
    return SealKey(secret)


def create_key(home: Home) -> SealKey:
    """Create the home's key and an empty head; there must be none yet."""
    home.create()
    secret = os.urandom(KEY_BYTES)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(home.standing_key, flags, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)  # whatever the umask
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    key = SealKey(secret)
    write_head(home, key, Head())
    return key


def read_head(home: Home, key: SealKey) -> Head | None:
    """Return the head, None if there is none. Raises StandingError if the key did not seal it."""
    try:
        document = json.loads(home.standing_head.read_bytes())
        head, seal = Head(int(document["rows"]), str(document["seal"])), str(document["head_seal"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        head, seal = Head(), ""
    if not key.has_sealed(_head_document(head), seal):
        raise StandingError(
            "its seal does not match", subject=str(home.standing_head), remedy=START_AGAIN,
            code="seal",
        )  # fmt: skip
    return head


def write_head(home: Home, key: SealKey, head: Head) -> None:
    """Write the head, sealed, so that it survives a power failure."""
    document = _head_document(head)
    content = json.dumps(document | {"head_seal": key.seal(document)}) + "\n"
    write_atomically(home.standing_head, content, durable=True)


def _head_document(head: Head) -> dict[str, Any]:
    return {"rows": head.rows, "seal": head.seal}


def _bad_key(home: Home, problem: str) -> StandingError:
    return StandingError(
        f"{problem}, so no standing approval is valid",
        subject=str(home.standing_key),
        remedy="If nobody else read it, run `chmod 600` on it; else delete standing.key and "
        "standing.head and approve again.",
        code="key",
    )
