"""Reading a pointing model from a TOML file: a shipped one by its name, or any other by its path."""

from __future__ import annotations

from pathlib import Path
from string import Formatter
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from point2act.core import config_files
from point2act.core.documents import Text, TomlTable, check
from point2act.core.errors import ModelError
from point2act.vlm.clients.client import PointingModel
from point2act.vlm.parsers import DIALECTS


def _check_prompt(prompt: str) -> str:
    """Check that ``{query}`` is the only field of a format string; braces of JSON have to be doubled."""
    try:
        found = [field for _, *field in Formatter().parse(prompt) if field[0] is not None]
    except ValueError:
        found = []
    if not found or any(field != ["query", "", None] for field in found):
        raise ValueError(
            "needs {query} where the query goes, and no other braces: write {{ and }} for those that the "
            "model is to see"
        )
    return prompt


_Count = Annotated[int, Field(ge=1, description="write a whole number, 1 or more")]
_Bool = Annotated[bool, Field(description="write true or false")]
_Price = Annotated[float, Field(ge=0)]


class _ModelFile(TomlTable):
    """A file of ``configs/models``; ``PointingModel`` has the defaults of what may be left out."""

    name: Text
    model: Text
    dialect: str = Field(pattern=f"^({'|'.join(DIALECTS)})$", description=f"use one of {', '.join(DIALECTS)}")
    prompt: Annotated[Text, AfterValidator(_check_prompt)]
    memory: Text
    source: Text
    server: str = Field(
        "", pattern=r"^https?://[^\s/]\S*$", description="write an address such as http://localhost:8000/v1"
    )
    key_variable: str = Field(
        "",
        pattern=r"^[A-Z][A-Z0-9_]*$",
        description="write the name of an environment variable, such as OPENAI_API_KEY, there, and the key "
        "itself only into the environment",
        json_schema_extra={"writeOnly": True},  # It may be the key itself.
    )
    max_tokens: _Count = 1
    image_side: _Count = 1
    local: _Bool = True
    adapter: Text = ""
    structured: _Bool = False
    price: tuple[_Price, _Price] = Field(
        (0, 0), strict=False, description="write two prices [read, written], US dollars"
    )
    extra: dict[str, Any] = Field({}, description="write a table, [extra]")


def load_model(name_or_path: str | Path) -> PointingModel:
    """Load and validate the description of a pointing model.

    Args:
        name_or_path: Name of a shipped model, or the path of a ``.toml`` file.

    Raises:
        ModelError: There is no such file, or a key of it is wrong; the message says what to write there.
    """
    path, table = config_files.load("models", name_or_path, ModelError)
    found = check(_ModelFile, table, ModelError, place=str(path)).model_dump(exclude_unset=True)
    if "adapter" in found:
        found["adapter"] = path.absolute().parent / found["adapter"]
    return PointingModel(**found)
