"""The container image that ``bentoml build`` writes down and ``bentoml containerize`` makes."""

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any, Literal

import attrs
from bentoml.images import Image
from pydantic import BaseModel, ConfigDict

from bento.artifact import git_revision

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The Python that builds: the bento's packages are locked for it."""

# BentoML installs the packages with a uv that it finds; 1.4.40 asks for 0.13.4 or newer, 1.4.39 for any.
UV = (
    "uv==0.13.9"
    " --hash=sha256:d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19"  # glibc, x86-64
    " --hash=sha256:ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375"  # glibc, ARM64
)
INSTALL_UV = (
    f"echo '{UV}' > /tmp/uv.txt"
    " && pip install --no-cache-dir --root-user-action ignore --require-hashes --requirement /tmp/uv.txt"
)

UNNEEDED = (
    r"find /app/.venv \( -name tests -o -name test -o -path '*/onnxruntime/tools'"
    r" -o -path '*/onnxruntime/transformers' -o -path '*/onnxruntime/quantization'"
    r" -o -path '*/numpy/f2py' -o -path '*/numpy/distutils'"
    # For programs in C: Python's module has all of it in itself.
    r" -o -name 'libonnxruntime.so*'"
    r" -o -path '*/pydicom/data/test_files' -o -path '*/pydicom/data/palettes' -o -path '*/pydicom/sr'"
    # Of imagecodecs' sixty codecs, those of bento/imaging/dicom/codecs.py stay, with what they load.
    r" -o \( -path '*/imagecodecs/_*.so' ! -name '_imcd.*' ! -name '_jpeg8.*' ! -name '_jpegls.*' ! -name '_shared*' \)"
    r" -o \( -path '*/imagecodecs.libs/*' ! -name 'libjpeg-*' ! -name 'libcharls-*' \)"
    r" -o -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.c' -o -name '*.h' -o -name '*.a' \)"
    r" -prune -exec rm -r {} +"
)
"""Removes what serves nobody: the packages' own tests, headers, type stubs, build tools."""

# Of BENTOML_HOME, which BentoML would make at the start: the root file system may then be read-only.
STORES = " ".join(f"/home/bentoml/{name}" for name in ("bentos", "envs", "models", "tmp"))

# Without the proxies of the environment, which docker sets in containers where its user has configured one.
PROBE = (
    "from urllib.request import ProxyHandler, build_opener; "
    'build_opener(ProxyHandler({})).open("http://127.0.0.1:3000/readyz", timeout=4)'
)
ROOT = Path(__file__).resolve().parents[2]

CPU_RUNTIME = "onnxruntime"
# Its extras bring CUDA and cuDNN as packages, so that the base image stays Python's own; 1.31 is built for CUDA 13.
CUDA_RUNTIME = "onnxruntime-gpu[cuda,cudnn]>=1.31"
# A container that is given no GPU then ends with one line; the second variable is for NVIDIA's container toolkit.
CUDA_ENVIRONMENT = "ENV CHEST_XRAY_DEVICE=cuda NVIDIA_DRIVER_CAPABILITIES=compute,utility"


class BuildArguments(BaseModel):
    """What ``bentoml build --arg NAME=VALUE`` takes."""

    model_config = ConfigDict(extra="forbid")

    image: Literal["cpu", "cuda"] = "cpu"
    """What the image can run on."""


@attrs.define
class ServiceImage(Image):  # type: ignore[misc]
    """BentoML's image, which also says what is in it, how to ask whether it is ready and how to stop it.

    The packages are installed in a stage of their own, from which only they are copied: no layer of the image holds
    uv, its cache or what was removed.
    """

    model: str = ""
    """Tag of the model in it."""
    cuda: bool = False
    """It has ONNX Runtime for NVIDIA GPUs in place of that for the CPU, and runs on a GPU unless told otherwise."""

    def freeze(self, *args: Any, **options: Any) -> Any:
        """Write the recipe down. BentoML calls this when a bento is built, and only then."""
        instructions = (
            "FROM base-container AS service",
            "ENV VIRTUAL_ENV=/app/.venv PATH=/app/.venv/bin:${PATH}",
            "COPY --from=packages /app /app",
            *([CUDA_ENVIRONMENT] if self.cuda else []),
            "STOPSIGNAL SIGTERM",
            f"HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD {json.dumps(['python', '-c', PROBE])}",
            *(f"LABEL {name}={json.dumps(value)}" for name, value in self._labels().items()),
        )
        # Private: BentoML has no word for stages, labels and health checks, but writes a command of several lines as
        # it is, names its own stage `base-container` and installs the packages between `commands` and these.
        self.post_commands.append("\n".join((UNNEEDED, *instructions)))
        if self.cuda:
            # Both packages are the module `onnxruntime`, and would write over each other's files.
            pattern = re.compile(rf"^{CPU_RUNTIME}\b(?!-).*$", re.MULTILINE)
            self.python_requirements = pattern.sub(CUDA_RUNTIME, self.python_requirements)  # type: ignore[misc,has-type]
        return super().freeze(*args, **options)

    def _labels(self) -> dict[str, str]:
        labels = {
            "org.opencontainers.image.title": "chest_xray",
            "org.opencontainers.image.licenses": "MIT",
            "org.opencontainers.image.version": _version(),
            "org.opencontainers.image.revision": git_revision(ROOT),
            "chest_xray.model": self.model,
        }
        return {name: value for name, value in labels.items() if value}


def _version() -> str:
    project = ROOT / "pyproject.toml"
    return str(tomllib.loads(project.read_text())["project"]["version"]) if project.exists() else ""


def service_image(model: str, device: Literal["cpu", "cuda"] = "cpu") -> Image:
    """Give the recipe of the image, with the tag of the model that will be in it, for a CPU or a GPU."""
    # With a distribution named, BentoML would add its compilers and git.
    base = {"base_image": f"python:{PYTHON}-slim", "distro": "", "python_version": PYTHON}
    # Wheels alone, so that no compiler is needed.
    stage = ("FROM base-container AS packages", "ENV UV_NO_BUILD=1 UV_NO_CACHE=1", f"RUN {INSTALL_UV}")
    return ServiceImage(**base, model=model, cuda=device == "cuda").run(
        "\n".join((f"install -d -o bentoml -g bentoml {STORES}", *stage))
    )
