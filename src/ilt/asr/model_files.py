"""Files of a pretrained model, in a folder or on the hub: configuration, commit, context."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

from ilt.errors import IltError

__all__ = ["commit_of", "context_seconds", "read_config", "require_model"]


@functools.cache
def _hub_commit(model_id: str, revision: str | None) -> str | None:
    """Return the commit that the hub names for a revision; None where it does not answer within seconds.

    Asked before every download, which would try again for half a minute.
    """
    from huggingface_hub import HfApi

    try:
        return HfApi().model_info(model_id, revision=revision, timeout=5).sha
    except Exception:  # of whatever library the hub's client asks with: it has changed more than once
        return None


def _hub_file(model_id: str, revision: str | None, name: str) -> Path | None:
    """Return a file of a hub model, from the hub or its cache on this machine; None where neither has it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    offline = _hub_commit(model_id, revision) is None
    try:
        return Path(hf_hub_download(model_id, name, revision=revision, local_files_only=offline))
    except (EntryNotFoundError, HfHubHTTPError, HFValidationError, OSError):
        return None


def _check_hub_id(model_id: str) -> None:
    """Raise IltError for a name that is neither a folder nor of the form of a hub id."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        try_to_load_from_cache(model_id, "config.json")  # looks at the form of the id
    except HFValidationError:
        raise IltError(
            f"model.id: cannot load {model_id!r}: there is no such folder, and this is no hub id either "
            "(OWNER/NAME); look for a misspelt path"
        ) from None


def commit_of(model_id: str, revision: str | None) -> str:
    """Return the commit that a revision of a hub model stands for: as the hub says, else its cache on this machine.

    revision: a commit, branch or tag; None: the main branch. Raises IltError where neither knows it.
    """
    _check_hub_id(model_id)
    if re.fullmatch(r"[0-9a-f]{40}", revision or ""):
        return str(revision)
    if commit := _hub_commit(model_id, revision):
        return commit
    cached = _hub_file(model_id, revision, "config.json")
    if cached and re.fullmatch(r"[0-9a-f]{40}", cached.parent.name):
        return cached.parent.name
    raise IltError(
        f"model.revision: the commit of {model_id!r} at {revision or 'main'!r} is not known: the hub has not been "
        "reached or has no such revision, and its cache on this machine has none either; give the commit, "
        "model.revision=COMMIT (40 hex digits), or a folder: "
        f"`hf download {model_id} --local-dir FOLDER` where there is a network, and model.id=FOLDER"
    )


def read_config(model_id: str, revision: str | None, name: str) -> dict[str, Any]:
    """Return one of a model's JSON files, local or from the hub; {} where there is none.

    Raises IltError that names the file if it is no JSON object.
    """
    path = Path(model_id) / name if Path(model_id).is_dir() else _hub_file(model_id, revision, name)
    if path is None or not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of the text's encoding, too
        raise IltError(f"model.id: {path} is not JSON ({error}); restore the file") from None
    if not isinstance(values, dict):
        raise IltError(f"model.id: {path} holds no JSON object, but a {type(values).__name__}; restore the file")
    return values


def require_model(model_id: str, revision: str | None) -> dict[str, Any]:
    """Return the config.json of a model; {} for a folder without one.

    Raises IltError where there is no such folder, and no such model on the hub or in its cache.
    """
    config = read_config(model_id, revision, "config.json")
    if config or Path(model_id).is_dir():
        return config
    _check_hub_id(model_id)
    at = f" at revision {revision}" if revision and revision != "main" else ""
    raise IltError(
        f"model.id: cannot load {model_id!r}: it is no folder, and the hub has not been reached or has no "
        f"such model{at} (HF_HUB_OFFLINE, a proxy, no network, a misspelt path or id?): hf download "
        f"{model_id} where there is a network, and model.id=FOLDER"
    )


def context_seconds(model_id: str, revision: str | None) -> float:
    """Return the seconds of audio that a model takes at once, from its processor files.

    Raises IltError where there is no such model, or none of these files.
    """
    require_model(model_id, revision)
    for name in ("preprocessor_config.json", "processor_config.json"):
        if values := read_config(model_id, revision, name):
            # transformers takes 30 s where the file does not say.
            return float(values.get("feature_extractor", values).get("chunk_length", 30))
    raise IltError(f"model.id: {model_id} has no preprocessor_config.json")
