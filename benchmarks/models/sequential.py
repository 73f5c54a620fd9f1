"""Transformers, recurrent layers, a multilayer perceptron, and control flow on small values."""
import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """A transformer block; `before` normalises before each part (GPT-2), else after it (BERT)."""

    def __init__(self, width, heads, before):
        super().__init__()
        self.heads = heads
        self.before = before
        self.first = nn.LayerNorm(width)
        self.second = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def attend(self, x, past):
        batch, length, width = x.shape
        q, k, v = self.project(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        if past is not None:
            k = torch.cat([past[0], k], dim=2)
            v = torch.cat([past[1], v], dim=2)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.before and past is None)
        return self.out(y.transpose(1, 2).reshape(batch, length, width))

    def forward(self, x, past=None):
        if self.before:
            x = x + self.attend(self.first(x), past)
            return x + self.down(F.gelu(self.up(self.second(x)), approximate="tanh"))
        x = self.first(x + self.attend(x, past))
        return self.second(x + self.down(F.gelu(self.up(x))))


class Encoder(nn.Module):
    def __init__(self, width=384, heads=12, depth=6):
        super().__init__()
        self.blocks = nn.ModuleList([Block(width, heads, False) for _ in range(depth)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


class Decoder(nn.Module):
    def __init__(self, width=768, heads=12, depth=12):
        super().__init__()
        self.blocks = nn.ModuleList([Block(width, heads, True) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class CachedDecoder(Decoder):
    """One step, with what is remembered of the tokens before: [depth, 2, batch, heads, tokens, width / heads]."""

    def forward(self, x, past):
        for i, block in enumerate(self.blocks):
            x = block(x, past[i])
        return self.norm(x)


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))

    def forward(self, x):
        return self.body(x)


class LoopedLSTM(nn.Module):
    def __init__(self, width=256):
        super().__init__()
        self.x = nn.Linear(width, 4 * width)
        self.h = nn.Linear(width, 4 * width)
        self.width = width

    def forward(self, x):
        h = torch.zeros(x.size(1), self.width)
        c = torch.zeros(x.size(1), self.width)
        out = []
        for t in range(x.size(0)):
            i, f, g, o = (self.x(x[t]) + self.h(h)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            out.append(h)
        return torch.stack(out)


class LayerLSTM(nn.Module):
    def __init__(self, width=256):
        super().__init__()
        self.layer = nn.LSTM(width, width)

    def forward(self, x):
        return self.layer(x)[0]


class Control(nn.Module):
    """A loop that ends when a sum does, with a branch on the data in it."""

    def forward(self, x):
        n = 0
        while bool(x.sum() < 100.0) and n < 200:
            if bool(x.mean() > 1.0):
                x = x * 1.01 + 0.01
            else:
                x = x + 0.05
            n += 1
        return x


class Settling(nn.Module):
    """A layer that is repeated until what it makes is small, then one of two ways: both as the data has it."""

    def __init__(self, width=64):
        super().__init__()
        self.enter = nn.Linear(16, width)
        self.again = nn.Linear(width, width)
        self.leave = nn.Linear(width, 4)

    def forward(self, x):
        h = torch.tanh(self.enter(x))
        scale = 1.0
        while bool(h.abs().mean() > 0.1):
            scale = scale * 0.8
            h = torch.tanh(self.again(h)) * scale
        if bool(h.sum() > 0):
            h = h * 2.0
        else:
            h = torch.exp(h)
        return self.leave(h)


class LanguageModel(nn.Module):
    """A GPT over 1024 tokens: embeddings of tokens and places, blocks, a head."""

    def __init__(self, width=256, heads=4, depth=4, length=128):
        super().__init__()
        self.tokens = nn.Embedding(1024, width)
        self.places = nn.Parameter(torch.zeros(length, width))
        self.blocks = nn.ModuleList([Block(width, heads, True) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 1024)

    def forward(self, x):
        x = self.tokens(x) + self.places
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)).flatten(0, 1)
