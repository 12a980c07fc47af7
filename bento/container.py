"""The container image that ``bentoml build`` writes down and ``bentoml containerize`` makes."""

import shlex
import sys

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
    r" -o -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.h' -o -name '*.a' \)"
    r" -prune -exec rm -r {} +",
)

# Of BENTOML_HOME, which BentoML would make at the start: the root file system may then be read-only.
STORES = " ".join(f"/home/bentoml/{name}" for name in ("bentos", "envs", "models", "tmp"))

# With a distribution named, BentoML would add its compilers and git.
IMAGE = (
    Image(base_image=f"python:{PYTHON}-slim", distro="", python_version=PYTHON)
    .run(f"printf '%s\\n' {' '.join(map(shlex.quote, UV_LINES))} > {UV} && chmod 755 {UV}")
    .run(f"install -d -o bentoml -g bentoml {STORES}")
)
