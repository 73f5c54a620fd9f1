"""The command group; a verb's module is imported when it is called."""
from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from scriptc import __version__
from scriptc.errors import EXIT_INTERNAL, EXIT_USAGE, ScriptcError

VERBS = {
    "compile": "Compile model source to an archive.",
    "check": "Report what keeps a model source from compiling.",
    "train": "Train an archive on data from files.",
    "run": "Run an archive on inputs from files.",
    "bench": "Time an archive's calls.",
    "optimize": "Write a smaller archive that computes the same.",
    "inspect": "Show what an archive holds.",
    "verify": "Check an archive's structure, checksums and test vectors.",
    "ops": "Print the table of operators.",
    "explain": "Explain an error code.",
}


class Verbs(click.Group):
    """Looks a verb up by name, so that `--help` and `run` do not import the compiler."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"scriptc_cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], VERBS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="scriptc")
def group() -> None:
    """Compile PyTorch model source to a safe, trainable archive, and run it without PyTorch."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: every error becomes a message on standard error and an exit code."""
    try:
        code = group.main(args=list(arguments) if arguments is not None else None, prog_name="scriptc", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except ScriptcError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_USAGE)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError, AssertionError, NotImplementedError, AttributeError) as error:
        click.echo(internal_report(error), err=True)
        sys.exit(EXIT_INTERNAL)


def internal_report(error: Exception) -> str:
    """What to say of an error that no rule of ours foresaw: the error, and with SCRIPTC_DEBUG its whole trace."""
    import os
    import traceback

    if os.environ.get("SCRIPTC_DEBUG"):
        return "".join(traceback.format_exception(error))
    return f"error: {type(error).__name__}: {error}\n  help: set SCRIPTC_DEBUG=1 to see where; a failure inside scriptc is a defect, please report it"
