"""Processes that compile beside this one: what they answer, what becomes of their jobs when they die, and of them when we do."""
from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from scriptc_runtime.cpu import builders

ANSWERS = """import sys
for line in sys.stdin:
    code = line.strip().encode()
    sys.stdout.buffer.write(len(code).to_bytes(8, "little") + code)
    sys.stdout.buffer.flush()
"""
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def answers(*jobs: str) -> list[bytes]:
    """What is got for each job; all have been asked for before the first is done."""
    got: dict[str, bytes] = {}
    done = threading.Event()

    def take(job: str, code: bytes) -> None:
        got[job] = code
        if len(got) == len(jobs):
            done.set()

    for job in jobs:
        builders.ask(("part", job), lambda code, job=job: take(job, code))    # type: ignore[misc]
    assert done.wait(60)
    return [got[job] for job in jobs]


def test_each_job_gets_its_own_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builders, "_PROGRAM", ANSWERS)
    assert answers("a", "b", "c", "d") == [b'["part", "%s"]' % job for job in (b"a", b"b", b"c", b"d")]
    end = time.monotonic() + 10
    while builders._serving and time.monotonic() < end:
        time.sleep(0.01)
    assert builders._serving == 0


@pytest.mark.parametrize("program", ["", "import sys; sys.stdin.readline(); sys.stdout.write('abc')",
                                     "import sys; sys.stdin.readline(); sys.stdout.buffer.write((9).to_bytes(8, 'little') + b'abc')"],
                         ids=["dies at once", "dies before its answer", "dies within its answer"])
def test_a_builder_that_dies_costs_its_job_alone(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builders, "_PROGRAM", program)
    assert answers("a", "b", "c") == [b"", b"", b""]
    monkeypatch.setattr(builders, "_PROGRAM", ANSWERS)
    assert answers("d") == [b'["part", "d"]']


def test_where_no_process_can_be_started_nothing_is_got(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert answers("a", "b") == [b"", b""]


def test_a_job_that_fails_leaves_the_builder_alive() -> None:
    answer = subprocess.run([sys.executable, "-c", builders._PROGRAM], input=b'["part", "nothing"]\n["part", "nothing"]\n', env=ENVIRONMENT,
                            capture_output=True, check=True)
    assert (answer.stdout, answer.stderr) == (bytes(16), b"")


def test_a_program_with_an_interpreter_of_its_own_compiles_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(builders, "_built", lambda job: job[1].encode())
    assert answers("a", "b") == [b"a", b"b"]


KILLED = """import os, sys, time
from scriptc_runtime.cpu import builders
builders._PROGRAM = "import os, sys; sys.stdout.write('x'); open(os.environ['TOLD'], 'w').write(str(os.getpid())); sys.stdin.read()"
builders.ask(("part", "a"), print)
told = os.environ["TOLD"]
while not os.path.exists(told) or not os.path.getsize(told):
    time.sleep(0.01)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a list of processes")
def test_a_builder_ends_when_its_process_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    killed = subprocess.run([sys.executable, "-c", KILLED], env={**ENVIRONMENT, "TOLD": str(told)}, capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    end = time.monotonic() + 10
    while Path(f"/proc/{told.read_text()}").exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert not Path(f"/proc/{told.read_text()}").exists()
