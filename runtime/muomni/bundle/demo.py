"""The model that ships with muomni, for those who have none yet."""

from __future__ import annotations

from pathlib import Path

from muomni.errors import BundleError

NAME = "demo"


def demo_bundle() -> Path:
    """The folder of the bundle that ships.

    Raises:
        BundleError: this installation has none.
    """
    from .manifest import MANIFEST_NAME  # here: commands name this function before they need a manifest

    package = Path(__file__).parents[1]
    # In the wheel it lies in the package; a checkout that is installed for development has it at its top.
    places = (package / "bundles" / NAME, package.parents[1] / "onnx_models" / NAME)
    for place in places:
        if (place / MANIFEST_NAME).is_file():
            return place
    raise BundleError(
        "the model that ships with muomni is not there (looked at "
        f"{', '.join(map(str, places))}); install muomni again, or give the folder of a bundle"
    )
