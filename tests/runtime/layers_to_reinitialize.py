"""A model of one layer of each kind whose first weights torch draws in its own way."""
import torch
from torch import nn


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.conv = nn.Conv1d(4, 4, 3, padding=1)
        self.transposed = nn.ConvTranspose1d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm1d(4)
        self.layer_norm = nn.LayerNorm(8)
        self.group_norm = nn.GroupNorm(2, 4)
        self.embedding = nn.Embedding(5, 8, padding_idx=2)
        self.lstm = nn.LSTM(8, 8, 2)
        self.gru = nn.GRU(8, 8, bidirectional=True)
        self.cell = nn.LSTMCell(8, 8)
        self.bilinear = nn.Bilinear(8, 8, 8)
        self.prelu = nn.PReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.group_norm(self.norm(self.transposed(self.conv(self.linear(x)))))
        x = self.prelu(self.bilinear(x, self.layer_norm(x) + self.embedding(torch.tensor(1))))
        x = self.gru(self.lstm(x)[0])[0]
        return self.cell(x[0, :, :8])[0]
