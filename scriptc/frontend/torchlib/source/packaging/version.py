"""Versions as PEP 440 orders them: epoch, release, then development < alpha < beta < candidate < final < post, and a local label last."""
import re

VERSION_PATTERN = (r"v?(?:(?P<epoch>[0-9]+)!)?(?P<release>[0-9]+(?:\.[0-9]+)*)"
                   r"(?:[-_.]?(?P<pre_l>alpha|beta|preview|pre|a|b|c|rc)[-_.]?(?P<pre_n>[0-9]+)?)?"
                   r"(?:(?:-(?P<post_n1>[0-9]+))|(?:[-_.]?(?P<post_l>post|rev|r)[-_.]?(?P<post_n2>[0-9]+)?))?"
                   r"(?:[-_.]?(?P<dev_l>dev)[-_.]?(?P<dev_n>[0-9]+)?)?"
                   r"(?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?")
_PRE = {"alpha": "a", "a": "a", "beta": "b", "b": "b", "c": "rc", "rc": "rc", "pre": "rc", "preview": "rc"}
_ORDER = {"a": 1, "b": 2, "rc": 3}
_FORM = re.compile(r"\s*" + VERSION_PATTERN + r"\s*")


class InvalidVersion(ValueError):
    pass


def parse(version):
    return Version(version)


class Version:
    def __init__(self, version):
        found = _FORM.fullmatch(version.lower())
        if found is None:
            raise InvalidVersion("Invalid version: " + repr(version))
        part = found.groupdict()
        self.epoch = int(part["epoch"] or 0)
        self.release = tuple([int(n) for n in part["release"].split(".")])
        self.pre = (_PRE[part["pre_l"]], int(part["pre_n"] or 0)) if part["pre_l"] else None
        self.post = int(part["post_n1"] or part["post_n2"] or 0) if part["post_n1"] or part["post_l"] else None
        self.dev = int(part["dev_n"] or 0) if part["dev_l"] else None
        self.local = re.sub("[-_]", ".", part["local"]) if part["local"] else None
        self._key = self._sort_key()

    def _sort_key(self):
        release = list(self.release)
        while len(release) > 1 and release[-1] == 0:
            release.pop()
        if self.pre is not None:
            pre = (_ORDER[self.pre[0]], self.pre[1])
        else:       # a development release of the final version precedes its pre-releases
            pre = (0, 0) if self.post is None and self.dev is not None else (4, 0)
        post = -1 if self.post is None else self.post
        dev = (1, 0) if self.dev is None else (0, self.dev)
        local = () if self.local is None else tuple([(1, int(p), "") if p.isdigit() else (0, 0, p) for p in self.local.split(".")])
        return (self.epoch, tuple(release), pre, post, dev, local)

    @property
    def major(self):
        return self.release[0]

    @property
    def minor(self):
        return self.release[1] if len(self.release) > 1 else 0

    @property
    def micro(self):
        return self.release[2] if len(self.release) > 2 else 0

    @property
    def is_prerelease(self):
        return self.dev is not None or self.pre is not None

    @property
    def is_postrelease(self):
        return self.post is not None

    @property
    def is_devrelease(self):
        return self.dev is not None

    @property
    def base_version(self):
        return (str(self.epoch) + "!" if self.epoch else "") + ".".join([str(n) for n in self.release])

    @property
    def public(self):
        pre = "" if self.pre is None else self.pre[0] + str(self.pre[1])
        post = "" if self.post is None else ".post" + str(self.post)
        dev = "" if self.dev is None else ".dev" + str(self.dev)
        return self.base_version + pre + post + dev

    def __str__(self):
        return self.public + ("" if self.local is None else "+" + self.local)

    def __repr__(self):
        return "<Version(" + repr(str(self)) + ")>"

    def __hash__(self):
        return hash(self._key)

    def __eq__(self, other):
        return self._key == other._key if isinstance(other, Version) else NotImplemented

    def __ne__(self, other):
        return self._key != other._key if isinstance(other, Version) else NotImplemented

    def __lt__(self, other):
        return self._key < other._key if isinstance(other, Version) else NotImplemented

    def __le__(self, other):
        return self._key <= other._key if isinstance(other, Version) else NotImplemented

    def __gt__(self, other):
        return self._key > other._key if isinstance(other, Version) else NotImplemented

    def __ge__(self, other):
        return self._key >= other._key if isinstance(other, Version) else NotImplemented
