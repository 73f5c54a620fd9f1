"""ResNet (He et al. 2015) and MobileNetV2 (Sandler et al. 2018)."""
import torch
from torch import nn


class Basic(nn.Module):
    expansion = 1

    def __init__(self, width_in, width, stride):
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(width_in, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.b = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))
        self.skip = nn.Identity()
        if stride != 1 or width_in != width:
            self.skip = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        return torch.relu(self.b(self.a(x)) + self.skip(x))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, width_in, width, stride):
        super().__init__()
        out = width * self.expansion
        self.a = nn.Sequential(nn.Conv2d(width_in, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.b = nn.Sequential(nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.c = nn.Sequential(nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out))
        self.skip = nn.Identity()
        if stride != 1 or width_in != out:
            self.skip = nn.Sequential(nn.Conv2d(width_in, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        return torch.relu(self.c(self.b(self.a(x))) + self.skip(x))


class ResNet(nn.Module):
    def __init__(self, block, counts):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        layers = []
        width_in = 64
        for stage, count in enumerate(counts):
            for i in range(count):
                width = 64 * 2 ** stage
                layers.append(block(width_in, width, 2 if i == 0 and stage else 1))
                width_in = width * block.expansion
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width_in, 1000)

    def forward(self, x):
        return self.head(self.body(self.stem(x)).mean((2, 3)))


class Inverted(nn.Module):
    def __init__(self, width_in, width, stride, expand):
        super().__init__()
        inner = width_in * expand
        parts = [] if expand == 1 else [nn.Conv2d(width_in, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6(inplace=True)]
        parts += [nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False), nn.BatchNorm2d(inner), nn.ReLU6(inplace=True),
                  nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width)]
        self.body = nn.Sequential(*parts)
        self.residual = stride == 1 and width_in == width

    def forward(self, x):
        return x + self.body(x) if self.residual else self.body(x)


class MobileNetV2(nn.Module):
    SETTINGS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6(inplace=True)]
        width_in = 32
        for expand, width, count, stride in self.SETTINGS:
            for i in range(count):
                layers.append(Inverted(width_in, width, stride if i == 0 else 1, expand))
                width_in = width
        layers += [nn.Conv2d(width_in, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6(inplace=True)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(1280, 1000)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


def resnet18():
    return ResNet(Basic, (2, 2, 2, 2))


def resnet50():
    return ResNet(Bottleneck, (3, 4, 6, 3))
