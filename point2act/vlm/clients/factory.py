"""From a model's name to someone who answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from point2act.core.errors import ModelError
from point2act.vlm.clients.cache import ReplyCache, default_folder
from point2act.vlm.clients.client import ModelClient, PointingModel
from point2act.vlm.clients.local import LocalClient, LocalConfig
from point2act.vlm.clients.models import load_model
from point2act.vlm.clients.server import ServerClient, ServerConfig


@dataclass(frozen=True)
class ClientConfig:
    """Who is asked."""

    model: str | None = None
    """A shipped model's name, or the path of a model's .toml file (configs/models)."""
    server: str | None = None
    """Address of an OpenAI-compatible server that has the model, such as http://localhost:8000/v1; without
    it the model is loaded by transformers here, or asked where its file says that it is served."""
    served_as: str | None = None
    """The model's name on that server, where it is not the one in the file."""
    dialect: str | None = None
    """How it writes points, where that is not as the file says."""
    cache: Path | None = None
    """Folder of remembered replies; by default point2act/replies in the user's cache folder."""
    remember: bool = True
    """Remember replies, and ask nothing twice."""
    requests: ServerConfig = field(default_factory=ServerConfig)
    """Requests to a server."""
    local: LocalConfig = field(default_factory=LocalConfig)
    """Models that run here."""


@dataclass(frozen=True, eq=False)
class OpenModel:
    """A model that may be asked."""

    model: PointingModel
    client: ModelClient
    cache: ReplyCache | None


def open_model(config: ClientConfig) -> OpenModel:
    """Find the model and whoever runs it; nothing is loaded or asked yet.

    Raises ``ModelError`` where there is no such model, where nobody can run it, or
    where the key for its service is missing.
    """
    if config.model is None:
        raise ModelError("nobody is asked: name a model with --model, such as --model qwen3_vl_8b")
    model = load_model(config.model)
    if config.dialect is not None:
        model = replace(model, dialect=config.dialect)
    cache = ReplyCache(config.cache or default_folder()) if config.remember else None
    if cache is not None:
        cache.prepare()
    client = _open_client(model, config)
    return OpenModel(model, client, cache)


def _open_client(model: PointingModel, config: ClientConfig) -> ModelClient:
    """The server that was named, the service that has the model, or this machine."""
    if config.server is not None:
        # A key for one service is no other server's business.
        own = config.server.rstrip("/") == (model.server or "").rstrip("/")
        theirs = model if own else replace(model, key_variable=PointingModel.key_variable, price=None)
        return ServerClient(theirs, config.server, served_as=config.served_as, config=config.requests)
    if model.server is not None:
        return ServerClient(model, model.server, served_as=config.served_as, config=config.requests)
    return LocalClient(model, config=config.local)
