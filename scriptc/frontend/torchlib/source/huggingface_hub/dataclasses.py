"""strict: the types of fields are the configuration file's business; what is kept is that unknown keywords reach `__post_init__`."""
from dataclasses import MISSING, fields


def strict(cls=None, *, accept_kwargs=False):
    def wrap(cls):
        if accept_kwargs:
            def __init__(self, **kwargs):
                own = fields(cls)
                for field in own:
                    if field.name in kwargs:
                        setattr(self, field.name, kwargs[field.name])
                    elif field.default is not MISSING:
                        setattr(self, field.name, field.default)
                    elif field.default_factory is not MISSING:
                        setattr(self, field.name, field.default_factory())
                    else:
                        raise TypeError("Missing required field - '" + field.name + "'")
                names = [field.name for field in own]
                self.__post_init__(**{name: value for name, value in kwargs.items() if name not in names})

            cls.__init__ = __init__
        return cls

    return wrap if cls is None else wrap(cls)


def validated_field(validator, default=MISSING, default_factory=MISSING, **kwargs):
    from dataclasses import field

    if default is not MISSING:
        return field(default=default)
    return field(default_factory=default_factory) if default_factory is not MISSING else field()


def as_validated_field(validator):
    def make(**kwargs):
        return validated_field(validator, **kwargs)

    return make
