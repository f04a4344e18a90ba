"""Print pip constraints that hold every dependency at the lower bound that pyproject.toml declares.

    python .ci/lower_bounds.py cpu video test > lower.txt

Names of extras follow; the dependencies that every installation has are always among them. Needs ``packaging``.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
LOWEST = (">=", "==", "~=")


def constraints(extras: Sequence[str], project: Path = PROJECT) -> Iterator[str]:
    """``name==version`` for each dependency that applies to this Python.

    Raises:
        SystemExit: an extra that is not declared, or a dependency without a lower bound.
    """
    declared = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    optional = declared.get("optional-dependencies", {})
    texts, asked = list(declared["dependencies"]), list(extras)
    for extra in asked:  # grows: an extra may name others of this project
        if extra not in optional:
            raise SystemExit(f"{project}: no extra {extra!r}; expected one of {', '.join(optional)}")
        for text in optional[extra]:
            requirement = Requirement(text)
            if requirement.name == declared["name"]:
                asked += sorted(requirement.extras - set(asked))
            else:
                texts.append(text)
    for text in dict.fromkeys(texts):
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        bounds = [bound.version for bound in requirement.specifier if bound.operator in LOWEST]
        if len(bounds) != 1:
            raise SystemExit(f"{project}: {text!r} needs one lower bound, as in {requirement.name}>=1.2")
        yield f"{requirement.name}=={bounds[0]}"


if __name__ == "__main__":
    print("\n".join(constraints(sys.argv[1:])))
