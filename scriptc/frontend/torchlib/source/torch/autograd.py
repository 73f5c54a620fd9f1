"""torch.autograd, as far as a forward pass needs it."""


class _Context:
    def __init__(self):
        self.saved_tensors = ()
        self.needs_input_grad = ()

    def save_for_backward(self, *tensors):
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *tensors):
        pass

    def set_materialize_grads(self, value):
        pass


class Function:
    """A user's function with its own backward: forward is staged, and differentiated as what it computes."""

    @classmethod
    def apply(cls, *args, **kwargs):
        context = _Context()
        context.needs_input_grad = tuple(False for _ in args)
        return cls.forward(context, *args, **kwargs)


Variable = lambda x, requires_grad=False, volatile=False: x
