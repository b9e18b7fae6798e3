"""The demo as a project: its model, its parameters, and the synthetic corpus that the stage `corpus` makes."""

from __future__ import annotations

from importlib import resources

from ilt.demo.models import model_files
from ilt.tools.init.files import render

__all__ = ["demo_files"]

MODEL = "demo-whisper"


def demo_files() -> tuple[dict[str, bytes], list[str]]:
    """Return the files of a demo project by their names, and what they are. Raises IltError without the model."""
    files = {f"data/models/{MODEL}/{path.name}": path.read_bytes() for path in model_files(MODEL)}
    files["params.yaml"] = (resources.files("ilt.demo") / "params.yaml").read_bytes()
    files["README.md"] = render("README.md.jinja", name="demo", model={"id": MODEL}).encode()
    choices = [
        f"model: {MODEL}, 3.8 million parameters, made for the demo",
        "corpus: synthetic speech in five languages; three iterations, some minutes on two cores",
    ]
    return files, choices
