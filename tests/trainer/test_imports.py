"""What a room loads: judging a sealed model needs the graph's runtime and no PyTorch."""

import pkgutil
import subprocess
import sys

import pytest

import trainer.evaluation
import trainer.inference
from tests.support.server import ROOT

MODULES = [
    module.name
    for room in (trainer.evaluation, trainer.inference)
    for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}.")
]


@pytest.mark.parametrize("room", ["trainer.evaluation", "trainer.inference"])
def test_no_module_of_the_room_loads_pytorch_or_ignite(room: str) -> None:
    modules = [name for name in MODULES if name.startswith(room)]
    assert len(modules) > 3
    program = (
        "import importlib, sys\n"
        f"for name in {modules}:\n"
        "    importlib.import_module(name)\n"
        "    loaded = {'torch', 'torchvision', 'ignite', 'trainer.training', 'trainer.models'} & set(sys.modules)\n"
        "    assert not loaded, (name, loaded)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_trainer_loads_no_ray() -> None:
    program = (
        "import importlib, pkgutil, sys, trainer\n"
        "for module in pkgutil.walk_packages(trainer.__path__, 'trainer.'):\n"
        "    importlib.import_module(module.name)\n"
        "assert 'ray' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
