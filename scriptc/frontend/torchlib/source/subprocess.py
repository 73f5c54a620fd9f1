"""No process is started while a model is compiled: every program asked for is one that is not there."""
PIPE = -1
STDOUT = -2
DEVNULL = -3


class SubprocessError(Exception):
    pass


class CalledProcessError(SubprocessError):
    pass


class TimeoutExpired(SubprocessError):
    pass


def _missing(args):
    name = args if isinstance(args, str) else args[0]
    raise FileNotFoundError("[Errno 2] No such file or directory: " + repr(name))


def run(args, **kwargs):
    _missing(args)


def call(args, **kwargs):
    _missing(args)


def check_call(args, **kwargs):
    _missing(args)


def check_output(args, **kwargs):
    _missing(args)


class Popen:
    def __init__(self, args, **kwargs):
        _missing(args)
