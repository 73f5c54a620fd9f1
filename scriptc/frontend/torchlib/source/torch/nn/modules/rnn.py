"""Recurrent layers and cells."""
import math

import __ops__ as ops
import torch
from torch.nn import functional as F
from torch.nn import init
from torch.nn.modules.module import Module
from torch.nn.parameter import Parameter
from torch.nn.utils.rnn import PackedSequence, _padded, _steps


def _lstm_step(given, states, w_hh, b_hh):
    h, c = states
    i, f, g, o = (given + F.linear(h, w_hh, b_hh)).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def _gru_step(given, states, w_hh, b_hh):
    h = states[0]
    ir, iz, n_x = given.chunk(3, -1)
    hr, hz, n_h = F.linear(h, w_hh, b_hh).chunk(3, -1)
    z = (iz + hz).sigmoid()
    n = (n_x + (ir + hr).sigmoid() * n_h).tanh()
    return ((1 - z) * n + z * h,)


def _tanh_step(given, states, w_hh, b_hh):
    return ((given + F.linear(states[0], w_hh, b_hh)).tanh(),)


def _relu_step(given, states, w_hh, b_hh):
    return (F.relu(given + F.linear(states[0], w_hh, b_hh)),)


class RNNBase(Module):
    def __init__(self, mode, input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0, bidirectional=False,
                 proj_size=0, device=None, dtype=None):
        super().__init__()
        self.mode = mode
        self._gates = {"LSTM": 4, "GRU": 3}.get(mode, 1)
        if proj_size < 0 or (proj_size and proj_size >= hidden_size):
            raise ValueError("proj_size has to be a positive integer smaller than hidden_size")
        if proj_size and self._gates != 4:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._flat_weights_names = []
        directions = 2 if bidirectional else 1
        rows = self._gates * hidden_size
        for layer in range(num_layers):
            for direction in range(directions):
                suffix = "_reverse" if direction == 1 else ""
                state = proj_size or hidden_size
                width = input_size if layer == 0 else state * directions
                names = [f"weight_ih_l{layer}{suffix}", f"weight_hh_l{layer}{suffix}"]
                shapes = [(rows, width), (rows, state)]
                if bias:
                    names += [f"bias_ih_l{layer}{suffix}", f"bias_hh_l{layer}{suffix}"]
                    shapes += [(rows,), (rows,)]
                if proj_size:
                    names.append(f"weight_hr_l{layer}{suffix}")
                    shapes.append((proj_size, hidden_size))
                for name, shape in zip(names, shapes):
                    setattr(self, name, Parameter(torch.empty(shape, dtype=dtype)))
                    self._flat_weights_names.append(name)
        self.reset_parameters()

    def reset_parameters(self):
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for name in self._flat_weights_names:
            init.uniform_(getattr(self, name), -bound, bound)

    def flatten_parameters(self):
        pass

    @property
    def _flat_weights(self):
        return [getattr(self, name) for name in self._flat_weights_names]

    @property
    def all_weights(self):
        return self._per_layer_and_direction()

    def _per_layer_and_direction(self):
        weights = self._flat_weights
        per = len(weights) // (self.num_layers * (2 if self.bidirectional else 1))
        return [weights[i:i + per] for i in range(0, len(weights), per)]

    def _zeros(self, batch, count, dtype):
        """Initial states: h, and c for an LSTM."""
        rows = self.num_layers * (2 if self.bidirectional else 1)
        h = torch.zeros(rows, batch, self.proj_size or self.hidden_size, dtype=dtype)
        return (h,) if count == 1 else (h, torch.zeros(rows, batch, self.hidden_size, dtype=dtype))

    def _initial(self, input, count):
        return self._zeros(input.shape[0] if self.batch_first else input.shape[1], count, input.dtype)

    def _per_layer(self):
        weights = self._flat_weights
        per = len(weights) // self.num_layers
        return [weights[i * per:(i + 1) * per] for i in range(self.num_layers)]

    def _run(self, input, states, op, **attributes):
        """All layers in one op, or one op a layer when dropout stands between them."""
        if not (self.training and self.dropout > 0 and self.num_layers > 1):
            return op(input, *states, *self._flat_weights, num_layers=self.num_layers, bidirectional=self.bidirectional,
                      bias=self.bias, batch_first=self.batch_first, **attributes)
        directions = 2 if self.bidirectional else 1
        finals = [[] for _ in states]
        for layer, weights in enumerate(self._per_layer()):
            part = [s[layer * directions:(layer + 1) * directions] for s in states]
            results = op(input, *part, *weights, num_layers=1, bidirectional=self.bidirectional, bias=self.bias,
                         batch_first=self.batch_first, **attributes)
            input = results[0]
            for final, state in zip(finals, results[1:]):
                final.append(state)
            if layer < self.num_layers - 1:
                input = F.dropout(input, self.dropout, True)
        return (input, *[torch.cat(f) for f in finals])

    def _stepped(self, sequence, states, lengths, step):
        """All layers step by step over [T, N, I]: with projections (Sak et al. 2014), and where sequences end at `lengths`."""
        directions = 2 if self.bidirectional else 1
        finals = [[] for _ in states]
        for layer, weights in enumerate(self._per_layer()):
            per = len(weights) // directions
            outputs = []
            for direction in range(directions):
                mine = weights[direction * per:(direction + 1) * per]
                b_ih, b_hh = (mine[2], mine[3]) if self.bias else (None, None)
                current = tuple(s[layer * directions + direction] for s in states)
                given = F.linear(sequence.flip(0) if direction == 1 else sequence, mine[0], b_ih)
                steps = []
                for t in range(given.shape[0]):
                    after = step(given[t], current, mine[1], b_hh)
                    if self.proj_size:
                        after = (F.linear(after[0], mine[-1]), after[1])
                    if lengths is not None:
                        inside = ((given.shape[0] - 1 - t if direction == 1 else t) < lengths).unsqueeze(1)
                        after = tuple(torch.where(inside, a, b) for a, b in zip(after, current))
                    current = after
                    steps.append(current[0])
                run = torch.stack(steps)
                outputs.append(run.flip(0) if direction == 1 else run)
                for final, state in zip(finals, current):
                    final.append(state)
            sequence = torch.cat(outputs, -1)
            if self.training and self.dropout > 0 and layer < self.num_layers - 1:
                sequence = F.dropout(sequence, self.dropout, True)
        return sequence, tuple(torch.stack(final) for final in finals)

    def _packed(self, input, states, step):
        """A packed sequence in, a packed sequence out; the final states are those at each sequence's own end."""
        padded, lengths = _padded(input)
        if states is None:
            states = self._zeros(padded.shape[1], 2 if self._gates == 4 else 1, padded.dtype)
        elif input.sorted_indices is not None:
            states = tuple(s.index_select(1, input.sorted_indices) for s in states)
        output, finals = self._stepped(padded, states, lengths, step)
        if input.unsorted_indices is not None:
            finals = tuple(s.index_select(1, input.unsorted_indices) for s in finals)
        data = output[_steps(input)]
        return PackedSequence(data, input.batch_sizes, input.sorted_indices, input.unsorted_indices), finals

    def extra_repr(self):
        s = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size != 0:
            s += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            s += f", num_layers={self.num_layers}"
        if self.bias is not True:
            s += f", bias={self.bias}"
        if self.batch_first is not False:
            s += f", batch_first={self.batch_first}"
        if self.dropout != 0:
            s += f", dropout={self.dropout}"
        return s + (f", bidirectional={self.bidirectional}" if self.bidirectional is not False else "")



class LSTM(RNNBase):
    def __init__(self, *args, **kwargs):
        super().__init__("LSTM", *args, **kwargs)

    def forward(self, input, hx=None):
        if isinstance(input, PackedSequence):
            return self._packed(input, hx, _lstm_step)
        if input.dim() == 2:
            batch_dim = 0 if self.batch_first else 1
            states = None if hx is None else tuple(s.unsqueeze(1) for s in hx)
            output, (h, c) = self.forward(input.unsqueeze(batch_dim), states)
            return output.squeeze(batch_dim), (h.squeeze(1), c.squeeze(1))
        if hx is None:
            hx = self._initial(input, 2)
        if self.proj_size:
            sequence = input.transpose(0, 1) if self.batch_first else input
            output, (h, c) = self._stepped(sequence, hx, None, _lstm_step)
            output = output.transpose(0, 1) if self.batch_first else output
        else:
            output, h, c = self._run(input, hx, ops.lstm)
        return output, (h, c)


class GRU(RNNBase):
    def __init__(self, *args, **kwargs):
        super().__init__("GRU", *args, **kwargs)

    def forward(self, input, hx=None):
        if isinstance(input, PackedSequence):
            output, (h,) = self._packed(input, None if hx is None else (hx,), _gru_step)
            return output, h
        if input.dim() == 2:
            batch_dim = 0 if self.batch_first else 1
            output, h = self.forward(input.unsqueeze(batch_dim), None if hx is None else hx.unsqueeze(1))
            return output.squeeze(batch_dim), h.squeeze(1)
        output, h = self._run(input, self._initial(input, 1) if hx is None else (hx,), ops.gru)
        return output, h


class RNN(RNNBase):
    def __init__(self, *args, **kwargs):
        nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if len(args) > 3:
            nonlinearity = args[3]
            args = args[:3] + args[4:]
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        if isinstance(input, PackedSequence):
            step = _tanh_step if self.nonlinearity == "tanh" else _relu_step
            output, (h,) = self._packed(input, None if hx is None else (hx,), step)
            return output, h
        if input.dim() == 2:
            batch_dim = 0 if self.batch_first else 1
            output, h = self.forward(input.unsqueeze(batch_dim), None if hx is None else hx.unsqueeze(1))
            return output.squeeze(batch_dim), h.squeeze(1)
        output, h = self._run(input, self._initial(input, 1) if hx is None else (hx,), ops.rnn, nonlinearity=self.nonlinearity)
        return output, h


class RNNCellBase(Module):
    def __init__(self, input_size, hidden_size, bias, num_chunks, device=None, dtype=None):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(torch.empty((rows, input_size), dtype=dtype))
        self.weight_hh = Parameter(torch.empty((rows, hidden_size), dtype=dtype))
        if bias:
            self.bias_ih = Parameter(torch.empty(rows, dtype=dtype))
            self.bias_hh = Parameter(torch.empty(rows, dtype=dtype))
        else:
            self.register_parameter("bias_ih", None)
            self.register_parameter("bias_hh", None)
        self.reset_parameters()

    def reset_parameters(self):
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _zeros(self, input):
        return torch.zeros(*input.shape[:-1], self.hidden_size, dtype=input.dtype)

    def _checked(self, input, state):
        """A given state. RuntimeError if it is for another number of sequences."""
        if state.dim() != input.dim():
            raise RuntimeError(f"{self._get_name()}: for {input.dim()}-D input, hx should also be {input.dim()}-D but got {state.dim()}-D tensor")
        if input.dim() == 2 and input.size(0) != state.size(0):
            raise RuntimeError(f"Input batch size {input.size(0)} doesn't match hidden0 batch size {state.size(0)}")
        return state

    def extra_repr(self):
        s = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            s += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            s += f", nonlinearity={self.nonlinearity}"
        return s



class RNNCell(RNNCellBase):
    def __init__(self, input_size, hidden_size, bias=True, nonlinearity="tanh", device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        h = self._zeros(input) if hx is None else self._checked(input, hx)
        total = F.linear(input, self.weight_ih, self.bias_ih) + F.linear(h, self.weight_hh, self.bias_hh)
        return total.tanh() if self.nonlinearity == "tanh" else F.relu(total)


class LSTMCell(RNNCellBase):
    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input, hx=None):
        if hx is None:
            zeros = self._zeros(input)
            hx = (zeros, zeros)
        h, c = self._checked(input, hx[0]), self._checked(input, hx[1])
        gates = F.linear(input, self.weight_ih, self.bias_ih) + F.linear(h, self.weight_hh, self.bias_hh)
        i, f, g, o = gates.chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class GRUCell(RNNCellBase):
    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input, hx=None):
        h = self._zeros(input) if hx is None else self._checked(input, hx)
        ir, iz, n_x = F.linear(input, self.weight_ih, self.bias_ih).chunk(3, -1)
        hr, hz, n_h = F.linear(h, self.weight_hh, self.bias_hh).chunk(3, -1)
        r = (ir + hr).sigmoid()
        z = (iz + hz).sigmoid()
        n = (n_x + r * n_h).tanh()
        return (1 - z) * n + z * h
