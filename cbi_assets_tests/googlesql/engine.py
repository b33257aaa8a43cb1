"""Start Google's own GoogleSQL, which is compiled to WebAssembly, and talk to it.

Compiling it to machine code takes half a minute of processor time: `make` does it once, by running
this module. The result is kept in the virtual environment, so that `make clean` removes it and
every later start takes a quarter second.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock
from google.protobuf.message import Message
from wasmtime import Config, Engine, Linker, Module, Store, WasiConfig
from zetasql.core.wasm_client import WasmClient, get_tzinfo_dir
from zetasql.wasi import get_wasm_path

VERSIONS = f"zetasql-{version('zetasql')}-wasmtime-{version('wasmtime')}"
CACHE = Path(sys.prefix) / "googlesql"


class GoogleSqlEngine(WasmClient):
    """Google's GoogleSQL service; `call` raises zetasql's ServerError where it refuses."""

    def __init__(self) -> None:
        config = Config()
        config.shared_memory = True
        engine = Engine(config)
        wasi = WasiConfig()
        wasi.preopen_dir(get_tzinfo_dir(), "/usr/share/zoneinfo")
        self.store = Store(engine)
        self.store.set_wasi(wasi)
        linker = Linker(engine)
        linker.define_wasi()
        instance = linker.instantiate(self.store, _module(engine))
        self.exports = instance.exports(self.store)
        self.exports["_initialize"](self.store)
        self.memory = self.exports["memory"]

    def call[Response: Message](
        self, method: str, request: Message, response: type[Response]
    ) -> Response:
        """Call a method of the service."""
        answer = self._call_grpc_method(
            f"ZetaSqlLocalService_{method}", request.SerializeToString()
        )
        return response.FromString(answer)

    # The client copies byte by byte, which takes longer than the call.

    def write_bytes(self, ptr: int, data: bytes) -> None:
        ctypes.memmove(self._address() + ptr, data, len(data))

    def read_bytes(self, ptr: int, size: int) -> bytes:
        return ctypes.string_at(self._address() + ptr, size)

    def _address(self) -> int:
        return ctypes.addressof(self.memory.data_ptr().contents)


_of_thread = threading.local()


def start_engine() -> GoogleSqlEngine:
    """Return this thread's engine."""
    if not hasattr(_of_thread, "engine"):
        _of_thread.engine = GoogleSqlEngine()
    engine: GoogleSqlEngine = _of_thread.engine
    return engine


def _module(engine: Engine) -> Module:
    path = CACHE / f"{VERSIONS}.compiled"
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):  # or each of pytest-xdist's processes compiles it
        if not path.exists():
            part = path.with_suffix(".part")
            part.write_bytes(Module.from_file(engine, get_wasm_path()).serialize())
            part.replace(path)
    return Module.deserialize_file(engine, str(path))


if __name__ == "__main__":
    start_engine()
