"""Weights to start from: published ones, one's own, and what is said where they can't be had or don't fit."""

import http.server
import re
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from tests.support.networks import grey_densenet, save_as_torchxrayvision, torchxrayvision_features
from trainer.errors import UserError
from trainer.export.onnx import save_weights
from trainer.models import pretrained
from trainer.models.backbones import BACKBONES, build_classifier
from trainer.models.classifier import Classifier
from trainer.models.pretrained import CHEST_WEIGHTS, in_hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub cache folder that holds torchvision's ResNet-18 file, under its true name, with seeded weights."""
    folder = tmp_path_factory.mktemp("torch") / "hub"
    (folder / "checkpoints").mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(models.resnet18().state_dict(), folder / "checkpoints" / "resnet18-f37072fd.pth")
    return folder


def first_convolution(model: Classifier) -> torch.Tensor:
    return next(module.weight for module in model.modules() if isinstance(module, nn.Conv2d))


def test_imagenet_weights_come_through_torchvisions_own_loader(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(hub.parent))
    model = build_classifier("resnet18", classes=3)
    file = torch.load(hub / "checkpoints" / "resnet18-f37072fd.pth", weights_only=True)
    assert torch.equal(first_convolution(model), file["conv1.weight"])


def test_weights_out_of_reach_name_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    # A proxy that refuses at once stands for a machine without a network, whatever this one has.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"can't be downloaded.*--weights FILE.*efficientnet_lite0.*--weights none"):
        build_classifier("resnet18", classes=3)


def test_own_weights_come_back_and_a_head_of_another_size_is_left_out(tmp_path: Path) -> None:
    model = build_classifier("resnet18", classes=3, weights="none")
    save_weights(model, tmp_path / "weights.safetensors")
    same = build_classifier("resnet18", classes=3, weights=str(tmp_path / "weights.safetensors"))
    assert torch.equal(same.head.weight, model.head.weight)
    other = build_classifier("resnet18", classes=5, weights=str(tmp_path / "weights.safetensors"))
    assert other.head.out_features == 5
    assert torch.equal(first_convolution(other), first_convolution(model))


def test_a_plain_torchvision_state_dict_is_taken(tmp_path: Path) -> None:
    network = models.resnet18(num_classes=7)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    model = build_classifier("resnet18", classes=3, weights=str(tmp_path / "w.pth"))
    assert torch.equal(first_convolution(model), network.conv1.weight)


def test_weights_that_do_not_fit_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"a": 1}, tmp_path / "other.pth")
    torch.save(models.resnet18().state_dict(), tmp_path / "resnet.pth")
    for file, words in (("text.pth", "not a readable"), ("other.pth", "no plain state_dict")):
        with pytest.raises(UserError, match=words):
            build_classifier("resnet18", 3, weights=str(tmp_path / file))
    with pytest.raises(UserError, match="does not fit efficientnet_lite0"):
        build_classifier("efficientnet_lite0", 3, weights=str(tmp_path / "resnet.pth"))


def test_names_of_old_densenet_files_are_todays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's own file has them."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    network = models.densenet121()
    old = {re.sub(r"(norm|conv)([12])\.", r"\1.\2.", name): value for name, value in network.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    file = BACKBONES["densenet121"].weights_file
    file.parent.mkdir(parents=True)
    torch.save(old, file)
    for weights in ("imagenet", str(file)):
        model = build_classifier("densenet121", classes=3, weights=weights).eval()
        images = torch.rand(1, 3, 32, 32)
        with torch.inference_mode():
            torch.testing.assert_close(model.stages[:-1](images), network.eval().features(images).relu())


class Published:
    """Stands in for the release that torchxrayvision's files are downloaded from."""

    def __init__(self, network: nn.Module, folder: Path, server: http.server.ThreadingHTTPServer) -> None:
        self.network, self.folder, self.server = network, folder, server


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    folder, network = tmp_path_factory.mktemp("release"), grey_densenet()
    with pytest.MonkeyPatch.context() as patch:
        save_as_torchxrayvision(network, folder / Path(CHEST_WEIGHTS["xrv-nih"].url).name, patch)
    (folder / Path(CHEST_WEIGHTS["xrv-all"].url).name).write_bytes(b"another file")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Published(network, folder, server)
        server.shutdown()


@pytest.fixture
def reachable(published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """The release, for a user who has downloaded nothing yet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(pretrained, "RELEASE", f"http://127.0.0.1:{published.server.server_address[1]}")
    return published


def test_torchxrayvisions_weights_are_downloaded_once_and_compute_its_features(
    reachable: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.randint(0, 256, (2, 96, 96), dtype=torch.uint8)
    wanted = torchxrayvision_features(reachable.network, images)
    for release in (pretrained.RELEASE, "http://127.0.0.1:9"):
        monkeypatch.setattr(pretrained, "RELEASE", release)
        model = build_classifier("densenet121", classes=3, weights="xrv-nih").eval()
        with torch.inference_mode():
            # Grey values as they are: from -1024 to 1024 is the model's own business.
            torch.testing.assert_close(model.stages(model.normalise(images)), wanted, rtol=1e-4, atol=1e-3)
    assert in_hub(CHEST_WEIGHTS["xrv-nih"].url).exists()


def test_a_file_of_torchxrayvision_is_taken_and_what_was_trained_from_it_too(
    reachable: Published, tmp_path: Path
) -> None:
    file = reachable.folder / Path(CHEST_WEIGHTS["xrv-nih"].url).name
    model = build_classifier("densenet121", classes=3, weights=str(file)).eval()
    save_weights(model, tmp_path / "weights.safetensors")
    again = build_classifier("densenet121", classes=3, weights=str(tmp_path / "weights.safetensors")).eval()
    images = torch.randint(0, 256, (1, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(again(images), model(images))
    with pytest.raises(UserError, match="does not fit resnet18"):
        build_classifier("resnet18", classes=3, weights=str(file))


def test_another_file_in_the_place_of_a_published_one_is_refused(reachable: Published) -> None:
    file = in_hub(CHEST_WEIGHTS["xrv-all"].url)
    with pytest.raises(UserError, match=r"xrv-all can't be downloaded \(invalid hash value"):
        build_classifier("densenet121", classes=3, weights="xrv-all")
    assert list(file.parent.iterdir()) == []
    file.write_bytes(b"another file")
    with pytest.raises(UserError, match=f"{file.name}: not the published file of xrv-all"):
        build_classifier("densenet121", classes=3, weights="xrv-all")


def test_chest_weights_out_of_reach_say_which_file_belongs_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(UserError) as caught:
        build_classifier("densenet121", classes=3, weights="xrv-all")
    message = str(caught.value)
    assert "\n" not in message
    assert f"put the file from {CHEST_WEIGHTS['xrv-all'].url} into {tmp_path / 'hub' / 'checkpoints'}, or" in message


def test_a_pickle_that_calls_something_is_refused_in_one_line(tmp_path: Path) -> None:
    torch.save({"weight": Path.touch}, tmp_path / "evil.pt")
    with pytest.raises(UserError, match=r"^weights: \S+evil.pt: not a readable [^\n]*\(it names [^\n]*\)$"):
        build_classifier("densenet121", classes=3, weights=str(tmp_path / "evil.pt"))
