"""torch.jit: tasks, which run one after the other here; the rest stands in the bindings of this module."""


class Future:
    """The result of a task; it has been computed when the task was started."""

    def __init__(self, value):
        self._value = value

    def __class_getitem__(cls, kind):
        return cls

    def wait(self):
        return self._value

    def value(self):
        return self._value

    def done(self):
        return True

    def then(self, callback):
        return Future(callback(self))


def fork(func, *args, **kwargs):
    return Future(func(*args, **kwargs))


def wait(future):
    return future.wait()
