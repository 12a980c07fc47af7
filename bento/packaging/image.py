"""The container image that ``bentoml build`` writes down and ``bentoml containerize`` makes."""

import json
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import attrs
from bentoml.images import Image

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The Python that builds: the bento's packages are locked for it."""

# BentoML's recipe installs uv, and leaves it and its cache in the image. Under uv's name this fetches it for the
# time of one call. It takes wheels alone, so that no compiler is needed; what serves nobody (the packages' own
# tests, headers, type stubs, build tools) goes in the same layer, or it would still take its room.
UV = "/usr/local/bin/uv"
UV_LINES = (
    "#!/bin/sh",
    "set -e",
    "home=$(mktemp -d)",
    'pip install --quiet --no-cache-dir --root-user-action ignore --target "$home" uv',
    'UV_NO_CACHE=1 UV_NO_BUILD=1 "$home/bin/uv" "$@"',
    'rm -r "$home"',
    r"cd /app/.venv && find . \( -name tests -o -name test -o -path '*/onnxruntime/tools'"
    r" -o -path '*/onnxruntime/transformers' -o -path '*/onnxruntime/quantization'"
    r" -o -path '*/numpy/f2py' -o -path '*/numpy/distutils'"
    # For programs in C: Python's module has all of it in itself.
    r" -o -name 'libonnxruntime.so*'"
    r" -o -path '*/pydicom/data/test_files' -o -path '*/pydicom/data/palettes' -o -path '*/pydicom/sr'"
    # Of imagecodecs' sixty codecs, those of bento/imaging/dicom/codecs.py stay, with what they load.
    r" -o \( -path '*/imagecodecs/_*.so' ! -name '_imcd.*' ! -name '_jpeg8.*' ! -name '_jpegls.*' ! -name '_shared*' \)"
    r" -o \( -path '*/imagecodecs.libs/*' ! -name 'libjpeg-*' ! -name 'libcharls-*' \)"
    r" -o -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.c' -o -name '*.h' -o -name '*.a' \)"
    r" -prune -exec rm -r {} +",
)

# Of BENTOML_HOME, which BentoML would make at the start: the root file system may then be read-only.
STORES = " ".join(f"/home/bentoml/{name}" for name in ("bentos", "envs", "models", "tmp"))

PROBE = 'import urllib.request; urllib.request.urlopen("http://127.0.0.1:3000/readyz", timeout=4)'
ROOT = Path(__file__).resolve().parents[2]


@attrs.define
class ServiceImage(Image):  # type: ignore[misc]
    """BentoML's image, which also says what is in it, how to ask whether it is ready and how to stop it."""

    model: str = ""
    """Tag of the model in it."""

    def freeze(self, *args: Any, **options: Any) -> Any:
        """Called when a bento is built, and only then: the recipe is written down."""
        # BentoML has no word for these, but writes a command of several lines as it is.
        instructions = (
            "STOPSIGNAL SIGTERM",
            f"HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD {json.dumps(['python', '-c', PROBE])}",
            *(f"LABEL {name}={json.dumps(value)}" for name, value in self._labels().items()),
        )
        self.post_commands.append("\n".join((f"rm {UV}", *instructions)))
        return super().freeze(*args, **options)

    def _labels(self) -> dict[str, str]:
        labels = {
            "org.opencontainers.image.title": "chest_xray",
            "org.opencontainers.image.licenses": "MIT",
            "org.opencontainers.image.version": _version(),
            "org.opencontainers.image.revision": _revision(),
            "chest_xray.model": self.model,
        }
        return {name: value for name, value in labels.items() if value}


def _version() -> str:
    project = ROOT / "pyproject.toml"
    return str(tomllib.loads(project.read_text())["project"]["version"]) if project.exists() else ""


def _revision() -> str:
    """The commit that is checked out, and whether anything differs from it; none without git."""
    if not (ROOT / ".git").exists() or (git := shutil.which("git")) is None:
        return ""
    command = [git, "describe", "--always", "--dirty", "--abbrev=40", "--match="]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603


def image(model: str) -> Image:
    """The image's recipe, with the tag of its model."""
    # With a distribution named, BentoML would add its compilers and git.
    base = {"base_image": f"python:{PYTHON}-slim", "distro": "", "python_version": PYTHON}
    return (
        ServiceImage(**base, model=model)
        .run(f"printf '%s\\n' {' '.join(map(shlex.quote, UV_LINES))} > {UV} && chmod 755 {UV}")
        .run(f"install -d -o bentoml -g bentoml {STORES}")
    )
