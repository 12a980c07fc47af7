"""EfficientNet-Lite0: the network is the one that its weights belong to."""

import torch
from sklearn.datasets import load_sample_images
from torchvision import models
from torchvision.transforms import v2

from trainer.models.backbones import BACKBONES


def test_lite0_with_its_packaged_weights_recognises_photographs() -> None:
    network = BACKBONES["efficientnet_lite0"].build()
    network.load_state_dict(BACKBONES["efficientnet_lite0"].imagenet())
    names = models.EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]
    transform = v2.Compose([v2.ToImage(), v2.Resize(256), v2.CenterCrop(224)])
    batch = torch.stack([transform(image.copy()) for image in load_sample_images().images]).float() / 127.5 - 1
    with torch.inference_mode():
        found = network.eval()(batch).argmax(dim=1).tolist()
    assert [names[index] for index in found] == ["palace", "daisy"]
