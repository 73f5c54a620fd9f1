"""A program that is being compiled has one context."""


class Token:
    MISSING = None

    def __init__(self, var, old_value):
        self.var = var
        self.old_value = old_value


class ContextVar:
    def __init__(self, name, default=None):
        self.name = name
        self.value = default

    def get(self, default=None):
        return default if self.value is None else self.value

    def set(self, value):
        token = Token(self, self.value)
        self.value = value
        return token

    def reset(self, token):
        self.value = token.old_value
