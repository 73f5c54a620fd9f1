class EntryNotFoundError(OSError):
    pass


class RepositoryNotFoundError(OSError):
    pass


class HfHubHTTPError(OSError):
    pass


class LocalEntryNotFoundError(OSError):
    pass
