"""Opening a model by its name: on a server, at the service that hosts it, or in this process."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from point2act.core.errors import ModelError
from point2act.vlm.clients.cache import ReplyCache, default_folder
from point2act.vlm.clients.client import ModelClient, PointingModel
from point2act.vlm.clients.local import LocalClient, LocalConfig
from point2act.vlm.clients.server import ServerClient, ServerConfig


@dataclass(frozen=True)
class ClientConfig:
    """Model to ask, where it runs, and the cache of its replies."""

    model: str | None = None
    """Name of a shipped model, or the path of a model's .toml file (configs/models)."""
    server: str | None = None
    """OpenAI-compatible server of the model, such as http://localhost:8000/v1; else it runs in this process,
    or at the service that its file names."""
    served_as: str | None = None
    """Name of the model on the server, if it differs from the one in the model's file."""
    dialect: str | None = None
    """Format in which the model writes points, if it differs from the one in the model's file."""
    cache: Path | None = None
    """Folder of cached replies; by default point2act/replies in the user's cache folder."""
    remember: bool = True
    """Cache replies, so that the same request is sent only once."""
    requests: ServerConfig = field(default_factory=ServerConfig)
    """Requests to a server."""
    local: LocalConfig = field(default_factory=LocalConfig)
    """Models that run in this process."""


@dataclass(frozen=True, eq=False)
class OpenModel:
    """A model with its client and the cache of its replies."""

    model: PointingModel
    client: ModelClient
    cache: ReplyCache | None


def open_model(config: ClientConfig) -> OpenModel:
    """Find a model and make its client; nothing is loaded or sent yet.

    Args:
        config: Model to ask, where it runs, and the cache of its replies.

    Raises:
        ModelError: There is no such model, it cannot run where it should, or its service's key is missing.
    """
    from point2act.vlm.clients.models import load_model

    if config.model is None:
        raise ModelError("no model is named: choose one with --model, such as --model qwen3_vl_8b")
    model = load_model(config.model)
    if config.dialect is not None:
        model = replace(model, dialect=config.dialect)
    cache = ReplyCache(config.cache or default_folder()) if config.remember else None
    if cache is not None:
        cache.prepare()
    return OpenModel(model, _open_client(model, config), cache)


def _open_client(model: PointingModel, config: ClientConfig) -> ModelClient:
    if config.server is not None:
        _check_served(model, config.served_as)
        # The key of the model's own service must not be sent to another server.
        own = config.server.rstrip("/") == (model.server or "").rstrip("/")
        model = model if own else replace(model, key_variable=PointingModel.key_variable, price=None)
        return ServerClient(model, config.server, served_as=config.served_as, config=config.requests)
    if model.server is not None:
        _check_served(model, config.served_as)
        return ServerClient(model, model.server, served_as=config.served_as, config=config.requests)
    return LocalClient(model, config=config.local)


def _check_served(model: PointingModel, served_as: str | None) -> None:
    """Refuse a server that would answer without the model's adapter."""
    if model.adapter is not None and served_as is None:
        raise ModelError(
            f"a server answers for {model.model} without the adapter of {model.name}: serve the model with "
            f"{model.adapter}, and give the name that it has there with --served-as"
        )
