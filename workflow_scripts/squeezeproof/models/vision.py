"""torchvision's networks, with a stem for small images."""

from typing import Any

from torch import nn

SMALL_IMAGE = 64


def resnet18(*, in_channels: int, num_classes: int, image_size: int, width: int = 64) -> nn.Module:
    """ResNet-18 [he2016resnet]; images up to 64 pixels get a 3x3 stem of stride 1 and no first pool.

    `width` is the number of the stem's filters (64 in the paper); later stages scale with it.
    """
    from torchvision.models.resnet import BasicBlock

    return _resnet(BasicBlock, [2, 2, 2, 2], in_channels, num_classes, image_size, width)


def resnet34(*, in_channels: int, num_classes: int, image_size: int, width: int = 64) -> nn.Module:
    """ResNet-34 [he2016resnet]: 21.3 million parameters for 32x32 colour images and 10 classes; see `resnet18`."""
    from torchvision.models.resnet import BasicBlock

    return _resnet(BasicBlock, [3, 4, 6, 3], in_channels, num_classes, image_size, width)


def resnet50(*, in_channels: int, num_classes: int, image_size: int, width: int = 64) -> nn.Module:
    """ResNet-50 [he2016resnet]: 23.5 million parameters for 32x32 colour images and 10 classes; see `resnet18`.

    As in torchvision, a block that halves the map does so in its 3x3 convolution, not in its first 1x1.
    """
    from torchvision.models.resnet import Bottleneck

    return _resnet(Bottleneck, [3, 4, 6, 3], in_channels, num_classes, image_size, width)


def densenet121(
    *,
    in_channels: int,
    num_classes: int,
    image_size: int,
    growth: int = 32,
    blocks: tuple[int, int, int, int] = (6, 12, 24, 16),
) -> nn.Module:
    """DenseNet-121, the DenseNet-BC of [huang2017]: 6,956,426 parameters for colour images and 10 classes.

    Images up to 64 pixels get a 3x3 stem of stride 1 and no first pool. `growth` is the number of maps that every
    layer adds, the stem has twice as many; `blocks` are the layers of each dense block, every block but the last is
    followed by a halving of the maps in number and side. The paper's own CIFAR networks have three equal blocks
    instead.
    """
    from torchvision.models.densenet import DenseNet

    stem = 2 * growth
    network = DenseNet(growth, blocks, num_init_features=stem, num_classes=num_classes)
    first = _stem(in_channels, stem, image_size)
    nn.init.kaiming_normal_(first.weight)
    network.features.conv0 = first
    if image_size <= SMALL_IMAGE:
        network.features.pool0 = nn.Identity()
    return network


def mobilenet_v2(*, in_channels: int, num_classes: int, image_size: int, width: int = 32) -> nn.Module:
    """MobileNetV2 [sandler2018]: 2,236,682 parameters for colour images and 10 classes.

    Images up to 64 pixels are halved three times instead of five: the stem and the first block that would halve them
    have stride 1. `width` is the number of the stem's filters (32 in the paper); the later layers scale with it, but
    the last convolution keeps the paper's 1280 filters in narrower networks. Widths are not rounded to multiples of 8.
    Dropout of 0.2 before the linear layer is torchvision's, the initial weights are PyTorch's own: torchvision's make
    depthwise and linear weights so small that pruning by magnitude takes them first, before training has grown them.
    """
    from torchvision.models.mobilenetv2 import MobileNetV2

    stem_stride, first_stride = (1, 1) if image_size <= SMALL_IMAGE else (2, 2)
    # Expansion, filters, number of blocks, stride of the first one: Table 2 of the paper.
    stages = [
        [1, 16, 1, 1],
        [6, 24, 2, first_stride],
        [6, 32, 3, 2],
        [6, 64, 4, 2],
        [6, 96, 3, 1],
        [6, 160, 3, 2],
        [6, 320, 1, 1],
    ]
    network = MobileNetV2(num_classes, width / 32, stages, round_nearest=1)
    first = nn.Conv2d(in_channels, width, 3, stride=stem_stride, padding=1, bias=False)
    network.set_submodule("features.0.0", first)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.reset_parameters()
    return network


def _resnet(
    block: Any, layers: list[int], in_channels: int, num_classes: int, image_size: int, width: int
) -> nn.Module:
    from torchvision.models.resnet import ResNet

    class Narrowed(ResNet):
        def _make_layer(
            self, block: Any, planes: int, blocks: int, stride: int = 1, dilate: bool = False
        ) -> nn.Sequential:
            if self.inplanes == 64 and planes == 64:
                self.inplanes = width
            return super()._make_layer(block, planes * width // 64, blocks, stride, dilate)

    network = Narrowed(block, layers, num_classes=num_classes)
    network.conv1 = _stem(in_channels, width, image_size)
    network.bn1 = nn.BatchNorm2d(width)
    network.fc = nn.Linear(width * 8 * block.expansion, num_classes)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    if image_size <= SMALL_IMAGE:
        network.set_submodule("maxpool", nn.Identity())
    return network


def _stem(in_channels: int, width: int, image_size: int) -> nn.Conv2d:
    kernel, stride, padding = (3, 1, 1) if image_size <= SMALL_IMAGE else (7, 2, 3)
    return nn.Conv2d(in_channels, width, kernel, stride=stride, padding=padding, bias=False)
