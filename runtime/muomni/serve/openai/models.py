"""``/v1/models``: what is served."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from muomni.serve.health import state_of
from muomni.serve.state import ServerState

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("")
async def list_models(request: Request) -> dict[str, Any]:
    """The one model that is served."""
    return {"object": "list", "data": [model_object(state_of(request))]}


@router.get("/{model}")
async def retrieve_model(model: str, request: Request) -> dict[str, Any]:
    """The model of this name."""
    state = state_of(request)
    state.check_model(model)
    return model_object(state)


def model_object(state: ServerState) -> dict[str, Any]:
    """OpenAI's ``model`` with what it can do."""
    manifest = state.omni.manifest
    inputs = {"text": True, "image": manifest.vision, "video": manifest.vision, "audio": manifest.audio}
    outputs = {"text": True, "audio": manifest.vocoder}
    return {
        "id": state.model_id,
        "object": "model",
        "created": state.created,
        "owned_by": "muomni",
        "max_model_len": state.omni.thinker.stage.context_length,
        "input_modalities": [name for name, there in inputs.items() if there],
        "output_modalities": [name for name, there in outputs.items() if there],
    }
