"""Models for tests of training steps, as torch runs them and scriptc compiles them."""
import torch
import torch.nn.functional as F
from torch import nn


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, x):
        return self.body(x)


class Recurrent(nn.Module):
    """An LSTM written as a loop over time."""

    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(6 + 8, 4 * 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        h = torch.zeros(x.size(1), 8)
        c = torch.zeros(x.size(1), 8)
        for t in range(x.size(0)):
            i, f, g, o = self.cell(torch.cat([x[t], h], dim=1)).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.head(h)


class Waiting(nn.Module):
    """Repeats a layer until the data is small enough, then takes one of two ways."""

    def __init__(self):
        super().__init__()
        self.enter = nn.Linear(6, 8)
        self.again = nn.Linear(8, 8)
        self.leave = nn.Linear(8, 3)

    def forward(self, x):
        h = torch.tanh(self.enter(x))
        while h.abs().mean() > 0.2:
            h = torch.tanh(self.again(h)) * 0.7
        if h.sum() > 0:
            h = h * 2.0
        else:
            h = torch.exp(h)
        return self.leave(h)


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 6, 3, stride=2)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.norm(self.first(x))), 2)
        return self.head(torch.relu(self.second(x)).mean((2, 3)))


class Tied(nn.Module):
    """An embedding whose weight is that of the head too, dropout between them."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 8)
        self.norm = nn.LayerNorm(8)
        self.drop = nn.Dropout(0.4)
        self.head = nn.Linear(8, 7, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x):
        return self.head(self.drop(self.norm(self.embedding(x))).mean(1))


class Several(nn.Module):
    """Results in a dictionary, and one parameter that the loss does not see."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 3)
        self.b = nn.Linear(6, 1)

    def forward(self, x):
        return {"classes": self.a(x), "value": self.b(x).squeeze(1)}


class Listing(nn.Module):
    """As many results as there are turns of a loop, which the program's text does not tell."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x):
        out = []
        for t in range(x.size(0)):
            out.append(torch.tanh(self.layer(x[t])))  # noqa: PERF401  (the loop is the point)
        return torch.stack(out)
