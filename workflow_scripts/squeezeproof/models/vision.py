"""torchvision's networks, with a stem for small images."""

from torch import nn

SMALL_IMAGE = 64


def resnet18(*, in_channels, num_classes, image_size, width=64):
    """ResNet-18 (He et al. 2016); images up to 64 pixels get a 3x3 stem of stride 1 and no first pool.

    `width` is the number of the stem's filters (64 in the paper); later stages scale with it.
    """
    from torchvision.models.resnet import BasicBlock, ResNet

    class Narrowed(ResNet):
        def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
            if self.inplanes == 64 and planes == 64:
                self.inplanes = width
            return super()._make_layer(block, planes * width // 64, blocks, stride, dilate)

    network = Narrowed(BasicBlock, [2, 2, 2, 2], num_classes=num_classes)
    small = image_size <= SMALL_IMAGE
    kernel, stride, padding = (3, 1, 1) if small else (7, 2, 3)
    network.conv1 = nn.Conv2d(in_channels, width, kernel, stride=stride, padding=padding, bias=False)
    network.bn1 = nn.BatchNorm2d(width)
    network.fc = nn.Linear(width * 8, num_classes)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    if small:
        network.maxpool = nn.Identity()
    return network
