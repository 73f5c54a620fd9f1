"""What of `collections` is written in the language."""


class deque(list):
    def __init__(self, iterable=(), maxlen=None):
        super().__init__(iterable)
        self.maxlen = maxlen
        self._limit(True)

    def _limit(self, left):
        while self.maxlen is not None and len(self) > self.maxlen:
            list.pop(self, 0 if left else -1)

    def append(self, x):
        list.append(self, x)
        self._limit(True)

    def appendleft(self, x):
        list.insert(self, 0, x)
        self._limit(False)

    def extend(self, iterable):
        for x in iterable:
            self.append(x)

    def extendleft(self, iterable):
        for x in iterable:
            self.appendleft(x)

    def popleft(self):
        return list.pop(self, 0)

    def rotate(self, n=1):
        for _ in range(n if n >= 0 else -n):
            if n > 0:
                list.insert(self, 0, list.pop(self))
            else:
                list.append(self, list.pop(self, 0))
