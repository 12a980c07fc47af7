"""Pickled networks: what they hold is read, and nothing that they name is run."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.support.networks import grey_densenet, save_as_torchxrayvision
from trainer.models.pickled_modules import read_pickled


class Call:
    """Pickled, it is a call of any function."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call[0], self.call[1:]


def save(content: object, path: Path, old: bool) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    return path


@pytest.mark.parametrize("old", [True, False])
def test_of_a_whole_network_its_state_dict_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool) -> None:
    network = grey_densenet()
    save_as_torchxrayvision(network, tmp_path / "network.pt", monkeypatch, old)
    monkeypatch.undo()
    found, wanted = read_pickled(tmp_path / "network.pt"), network.state_dict()
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name


def test_pytorch_itself_refuses_the_old_layout(tmp_path: Path) -> None:
    """Else the reader here would not be needed."""
    path = save(nn.Sequential(nn.Conv2d(1, 2, 3)), tmp_path / "old.pt", old=True)
    with (
        torch.serialization.safe_globals([nn.Sequential, nn.Conv2d, set]),
        pytest.raises(pickle.UnpicklingError, match="Only persistent_load of storage is allowed"),
    ):
        torch.load(path, weights_only=True)
    assert read_pickled(path)["0.weight"].shape == (2, 1, 3, 3)


@pytest.mark.parametrize("old", [True, False])
def test_a_pickle_that_calls_anything_else_is_refused_and_calls_nothing(tmp_path: Path, old: bool) -> None:
    planted = tmp_path / "planted"
    call = Call(Path.touch, planted)
    call.call[0](tmp_path / "works")
    assert (tmp_path / "works").exists()
    for content in (call, {"weight": torch.zeros(2), "more": call}, Call(eval, f"open({str(planted)!r}, 'w')")):
        with pytest.raises(pickle.UnpicklingError, match=r"^it names \S*(pathlib|getattr|eval)"):
            read_pickled(save(content, tmp_path / "evil.pt", old))
    network = nn.Sequential(nn.ReLU())
    network.register_buffer("more", torch.zeros(2))
    network.note = call  # type: ignore[assignment]
    with pytest.raises(pickle.UnpicklingError, match="it names"):
        read_pickled(save(network, tmp_path / "evil.pt", old))
    assert not planted.exists()


@pytest.mark.parametrize("name", ["os.system", "builtins.exec", "torch.load", "torch.nn.modules.module.Module"])
def test_other_names_are_refused_before_they_are_called(tmp_path: Path, name: str) -> None:
    module, _, function = name.rpartition(".")
    path = save({}, tmp_path / "evil.pt", old=True)
    content = path.read_bytes()
    header: tuple[object, ...] = (0x1950A86A20F9469CFC6C, 1001, {})
    body = b"".join(pickle.dumps(part, 2) for part in header)
    path.write_bytes(body + b"\x80\x02c" + f"{module}\n{function}\n".encode() + b"X\x01\x00\x00\x00x\x85R.")
    assert content.startswith(body[:20])
    with pytest.raises(pickle.UnpicklingError, match=f"it names {name}"):
        read_pickled(path)


def test_a_file_that_is_cut_off_or_changed_is_no_network(tmp_path: Path) -> None:
    path = save(nn.Sequential(nn.Conv2d(1, 2, 3, bias=False)), tmp_path / "old.pt", old=True)
    content = path.read_bytes()
    other_length = content[:-80] + bytes(8) + content[-72:]  # of the only tensor, 18 numbers
    for damaged in (content[:-10], content[:200], other_length, b"", b"no weights"):
        path.write_bytes(damaged)
        with pytest.raises((pickle.UnpicklingError, EOFError, ValueError)):
            read_pickled(path)
