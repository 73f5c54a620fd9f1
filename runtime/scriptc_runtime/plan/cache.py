"""A bounded, thread-safe map from the shapes of a call to its plan; the least recently used one goes first."""
from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")
CAPACITY = 64


class PlanCache(Generic[T]):
    """`get(key, make)` answers from the cache, or makes the entry; two threads may make one at the same time."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The entry of `key`."""
        found = self.find(key)
        return self.put(key, make()) if found is None else found

    def find(self, key: Hashable) -> T | None:
        """The entry of `key`, if there is one."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def put(self, key: Hashable, made: T) -> T:
        """Make `made` the entry of `key`."""
        with self._lock:
            self._entries[key] = made
            self._entries.move_to_end(key)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
        return made

    def __len__(self) -> int:
        return len(self._entries)
