"""Processes that compile beside this one: it may end meanwhile, and numba's Python would hold up its calls.

    ask(("part", "winograd"), got)      # got(object code), from another thread, once it is compiled; got(b"") if it cannot be

A builder reads jobs from its standard input, keeps each object in the cache, and answers with the code. It ends with its input: one whose
process is gone finishes what it is at and no more. Where no process can be started, a thread of this one compiles.
"""
from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any

from scriptc_runtime.plan.policy import available

if TYPE_CHECKING:
    import subprocess

MOST = 4            # at the same time
Job = Sequence[Any]             # what JSON can hold: "part" and its name, or "loop", its text and the types of its pointers
Got = Callable[[bytes], None]

_jobs: deque[tuple[Job, Got]] = deque()
_lock = threading.Lock()
_serving = 0

_PROGRAM = "from scriptc_runtime.cpu import builders; builders.main()"
_LENGTH = 8         # bytes before an answer that say how long it is


def ask(job: Job, got: Got) -> None:
    """Have a job done after those asked for before. `got` must not raise."""
    global _serving
    with _lock:
        _jobs.append((job, got))
        if _serving >= min(MOST, available()):
            return
        _serving += 1
        elsewhere = _can_start()
        # The interpreter waits for the thread that compiles itself: ended inside LLVM, it would take the process down.
        threading.Thread(target=_serve if elsewhere else _serve_here, name="scriptc-builder", daemon=elsewhere).start()


def _can_start() -> bool:
    """False in a program that carries its own interpreter: started again, it would not be Python."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)


def _next() -> tuple[Job, Got] | None:
    """The next job; None when there is none, and the thread that asked is to end."""
    global _serving
    with _lock:
        if _jobs:
            return _jobs.popleft()
        _serving -= 1
        return None


def _serve() -> None:
    """Hand jobs to a builder until there are none; to another one if it dies."""
    taken = _next()
    while taken is not None:
        with contextlib.suppress(OSError), _started() as builder:
            while taken is not None:
                (job, got), taken = taken, None
                code = _answer(builder, job)
                got(code or b"")
                if code is None:
                    break
                taken = _next()
            else:
                return
        if taken is not None:       # no process can be started
            taken[1](b"")
        taken = _next()


def _started() -> subprocess.Popen[bytes]:
    import subprocess

    path = os.pathsep.join(entry or os.curdir for entry in sys.path)
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _PROGRAM], env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)


def _answer(builder: subprocess.Popen[bytes], job: Job) -> bytes | None:
    """The builder's answer; None if it has died."""
    import json

    assert builder.stdin is not None and builder.stdout is not None
    try:
        builder.stdin.write(json.dumps(job).encode() + b"\n")
        builder.stdin.flush()
    except OSError:
        return None
    head = builder.stdout.read(_LENGTH)
    code = builder.stdout.read(int.from_bytes(head, "little"))
    return code if len(head) == _LENGTH and len(code) == int.from_bytes(head, "little") else None


def _serve_here() -> None:
    taken = _next()
    while taken is not None:
        job, got = taken
        code = b""
        with contextlib.suppress(Exception):
            code = _built(job)
        got(code)
        taken = _next() if threading.main_thread().is_alive() else None


def _built(job: Job) -> bytes:
    """The object code of a job."""
    kind, *rest = job
    if kind == "part":
        from scriptc_runtime.cpu.tiles import library

        return library.built(*rest)
    from scriptc_runtime.cpu import jit

    source, pointers = rest
    return jit.built(source, tuple(pointers))


def main() -> None:
    """A builder's life."""
    import json

    if hasattr(os, "nice"):
        os.nice(1)      # whoever waits for the code is also who is held up
    answers: IO[bytes] = sys.stdout.buffer
    sys.stdout = sys.stderr
    with contextlib.suppress(BrokenPipeError):      # whoever asked is gone; what was compiled is in the cache
        for line in sys.stdin:
            code = b""
            with contextlib.suppress(Exception):
                code = _built(json.loads(line))
            answers.write(len(code).to_bytes(_LENGTH, "little") + code)
            answers.flush()


def _forget() -> None:
    """In a forked child the threads do not exist."""
    global _lock, _serving
    _lock, _serving = threading.Lock(), 0
    _jobs.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
