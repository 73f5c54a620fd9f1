"""How threads work together in native code: barriers, and helpers that listen for the next call before they go to sleep.

The caller of a team has, at one address, a line of the cache with the counter of its meetings, and a line per helper with the helper's job: the
words of JOB. A helper's post is a word on a line of its own: ASLEEP, LISTENING, RESERVED by a caller, or the address of its job.
"""
from __future__ import annotations

import functools
import platform
import sys
from typing import Any

from scriptc_runtime.cpu.tiles import registers
from scriptc_runtime.cpu.tiles.geometry import ASLEEP, LISTENING, PATIENCE, RESERVED
from scriptc_runtime.cpu.tiles.loops import compiled, instruction, words

LINE = 64
BRIEFLY = 100      # looks at a helper that is about to leave the last call
COMMANDS, COUNT, THREAD, THREADS, COUNTER, BASE, POST, TAKEN = range(8)     # words of a job; the post stands there from the beginning


@functools.cache
def atomics() -> dict[str, Any]:
    """The operations on shared words, as numba functions of addresses."""
    from numba import types
    from numba.extending import intrinsic as declare_typed

    declare: Any = declare_typed
    is_x86 = platform.machine() in ("x86_64", "AMD64")
    relax = "llvm.x86.sse2.pause" if is_x86 else ""
    has_yield = is_x86 and sys.platform == "linux"

    def pointer(builder: Any, place: Any) -> Any:
        return builder.inttoptr(place, registers.I64.as_pointer())

    @declare
    def arrive(context: Any, place: Any) -> Any:
        """Count one up; what was counted before."""
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.atomic_rmw("add", pointer(builder, arguments[0]), registers.constant(1), "seq_cst")
        return types.int64(types.int64), generate

    @declare
    def look(context: Any, place: Any) -> Any:
        """Read a word that another thread writes, after a moment in which the processor does little."""
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if relax:
                void = registers.ir.FunctionType(registers.ir.VoidType(), [])
                found = builder.module.globals.get(relax) or registers.ir.Function(builder.module, void, relax)
                builder.call(found, [])
            return builder.load_atomic(pointer(builder, arguments[0]), "acquire", 8)
        return types.int64(types.int64), generate

    @declare
    def tell(context: Any, place: Any, value: Any) -> Any:
        """Write a word, and everything before it, for another thread to see."""
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.store_atomic(arguments[1], pointer(builder, arguments[0]), "release", 8)
            return context.get_dummy_value()
        return types.void(types.int64, types.int64), generate

    @declare
    def exchange(context: Any, place: Any, known: Any, new: Any) -> Any:
        """Write a word if it is what was known; 1 if it was."""
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            made = builder.cmpxchg(pointer(builder, arguments[0]), arguments[1], arguments[2], "seq_cst", "seq_cst")
            return builder.zext(builder.extract_value(made, 1), registers.I64)
        return types.int64(types.int64, types.int64, types.int64), generate

    @declare
    def give_way(context: Any) -> Any:
        """Let the system run another thread: whoever is late may be waiting for this very processor."""
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if has_yield:       # sched_yield
                asm = registers.ir.FunctionType(registers.I64, [registers.I64])
                builder.asm(asm, "syscall", "={rax},{rax},~{rcx},~{r11},~{memory}", [registers.constant(24)], side_effect=True)
            return context.get_dummy_value()
        return types.void(), generate

    return {"arrive": arrive, "look": look, "tell": tell, "exchange": exchange, "give_way": give_way}


@functools.cache
def meetings() -> tuple[Any, Any, Any]:
    """(`meet(counter, base, threads)`, `gather(commands, count, threads, team, base)`, `awaited(post, patience)`) as numba functions."""
    operations, word = atomics(), words()[0]
    arrive, look, tell, exchange, give_way = (operations[name] for name in ("arrive", "look", "tell", "exchange", "give_way"))
    patience, asleep, listening, reserved = PATIENCE, ASLEEP, LISTENING, RESERVED

    @compiled
    def meet(counter: Any, base: Any, threads: Any) -> None:
        """Return when all threads have come; they come in the same order of meetings. The counter only grows: it was `base` at first."""
        goal = base + ((arrive(counter) - base) // threads + 1) * threads
        turns = 0
        while look(counter) < goal:
            turns += 1
            if turns > patience:
                give_way()

    @compiled
    def gather(commands: Any, count: Any, threads: Any, team: Any, base: Any) -> Any:
        """Give jobs to the helpers that are listening or reserved; how many threads there are with the caller, whom the results do not show."""
        taken = 1
        for helper in range(1, threads):
            job = team + LINE * helper
            post = word(job, POST)
            state = look(post)
            turns = 0
            while state > reserved and turns < BRIEFLY:
                state = look(post)
                turns += 1
            if state == reserved or (state == listening and exchange(post, listening, reserved) != 0):
                tell(job + 8 * COMMANDS, commands)
                tell(job + 8 * COUNT, count)
                tell(job + 8 * THREAD, taken)
                tell(job + 8 * COUNTER, team)
                tell(job + 8 * BASE, base)
                tell(job + 8 * TAKEN, 1)
                taken += 1
            else:
                tell(job + 8 * TAKEN, 0)
        for helper in range(1, threads):
            job = team + LINE * helper
            if word(job, TAKEN) != 0:
                tell(job + 8 * THREADS, taken)
                tell(word(job, POST), job)
        return taken

    @compiled
    def awaited(post: Any, patience: Any) -> Any:
        """The address of the job that a caller leaves at a post; 0 if none has come for a while."""
        turns = 0
        while True:
            job = look(post)
            if job > reserved:
                return job
            if job == asleep:
                return 0      # the caller that had reserved it went another way
            turns += 1
            if turns > patience:
                if exchange(post, listening, asleep) != 0:
                    return 0
                give_way()

    return meet, gather, awaited


@functools.cache
def entry() -> Any:
    """`entry(commands, their count, thread, threads, team)` of `library.entry`, as a numba function."""
    operations, word = atomics(), words()[0]
    look, tell, exchange = (operations[name] for name in ("look", "tell", "exchange"))
    meet, gather, awaited = meetings()
    asleep, listening, of_commands, of_count, of_thread, of_threads, of_counter, of_base = (
        ASLEEP, LISTENING, COMMANDS, COUNT, THREAD, THREADS, COUNTER, BASE)
    kernel = registers.ir.FunctionType(registers.ir.VoidType(), [registers.I64] * 3).as_pointer()
    run = instruction(4, lambda builder, words: builder.call(builder.inttoptr(words[0], kernel), words[1:]))

    @compiled
    def entry(commands: Any, count: Any, thread: Any, threads: Any, team: Any) -> None:
        post = patience = base = 0
        if threads == 0:
            post, patience, count = commands, count, 0
            exchange(post, asleep, listening)
        elif threads > 1:
            base = look(team)
            threads = gather(commands, count, threads, team, base)
        while True:
            index = 0
            while index < count:
                first, following, number, of = index, index + 1, thread, threads
                last = following
                if word(commands, 2 * index) == 0:      # `parts.BANDS`: how many parts there are, and where behind here each begins
                    table = word(commands, 2 * index + 1)
                    parts = word(table, 0)
                    first = index + 1 + word(table, 1 + parts * thread // threads)
                    last = index + 1 + word(table, 1 + parts * (thread + 1) // threads)
                    following, number, of = index + 1 + word(table, 1 + parts), 0, 1
                for place in range(first, last):
                    run(word(commands, 2 * place), word(commands, 2 * place + 1), number, of)
                if threads > 1:
                    meet(team, base, threads)
                index = following
            if post == 0:
                return
            if count > 0:
                tell(post, listening)
            job = awaited(post, patience)
            if job == 0:
                return
            commands, count, thread = word(job, of_commands), word(job, of_count), word(job, of_thread)
            threads, team, base = word(job, of_threads), word(job, of_counter), word(job, of_base)

    return entry
