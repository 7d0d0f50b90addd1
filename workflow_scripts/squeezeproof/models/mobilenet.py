"""MobileNetV1; torchvision's MobileNetV2 is in models/vision.py."""

from collections import OrderedDict

from torch import nn

from squeezeproof.models.vision import SMALL_IMAGE

# Filters in multiples of the stem's and stride of every depthwise separable block: Table 1 of the paper.
BLOCKS = [(2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), *[(16, 1)] * 5, (32, 2), (32, 1)]


def mobilenet_v1(*, in_channels: int, num_classes: int, image_size: int, width: int = 32) -> nn.Sequential:
    """MobileNetV1 [howard2017]: 3,217,226 parameters for colour images and 10 classes.

    `width` is the number of the stem's filters (32 in the paper); the later layers scale with it. The stem of images
    up to 64 pixels has stride 1, so that 32x32 images end as 2x2 maps. The last block has stride 1, as the map sizes
    in the paper's Table 1 say, not 2, as the same row prints.
    """
    layers, channels = OrderedDict(), width
    stride = 1 if image_size <= SMALL_IMAGE else 2
    layers["stem"] = _normalized(nn.Conv2d(in_channels, width, 3, stride=stride, padding=1, bias=False))
    for index, (multiple, stride) in enumerate(BLOCKS, start=1):
        depthwise = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False)
        pointwise = nn.Conv2d(channels, multiple * width, 1, bias=False)
        layers[f"depthwise{index}"], layers[f"pointwise{index}"] = _normalized(depthwise), _normalized(pointwise)
        channels = multiple * width
    layers["pool"], layers["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    layers["fc"] = nn.Linear(channels, num_classes)
    return nn.Sequential(layers)


def _normalized(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(conv.out_channels), relu=nn.ReLU()))
