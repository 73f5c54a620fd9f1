"""A small convolutional network for 8x8 digits, written as PyTorch source. scriptc reads it; nothing ever executes it."""
import torch
import torch.nn as nn


class DigitNet(nn.Module):
    def __init__(self, width: int = 16, classes: int = 10):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, kernel_size=3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 2 * width, kernel_size=3, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(2 * width * 4 * 4, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.features(images / 16.0)
        x = torch.flatten(x, 1)
        return self.classifier(self.dropout(x))
