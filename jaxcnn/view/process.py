"""The command line as a process: what it sets up, and how it ends.

Anything wrong with the input ends in one line on standard error and exit status 2.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
from typing import Any, NoReturn

import typer

from jaxcnn.base.errors import InputError, JaxcnnError
from jaxcnn.view.cli import app

INTERRUPTED = 130
WRONG = 2


def _keep_compiled() -> None:
    """Keep compiled programs between runs, where the user has not said where or whether.

    Compiling takes most of the time of a short answer. The variables are JAX's own, read when
    it is imported; worker processes inherit them.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser(os.path.join("~", ".cache"))
    if os.path.isabs(home) and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.join(home, "jaxcnn")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")


def _hear_every_interrupt() -> None:
    """A Ctrl-C that falls into a callback of the garbage collector is raised once more.

    JAX has such callbacks; what is raised in them is printed and goes no further.
    """
    usual = sys.unraisablehook

    def hook(lost: Any) -> None:
        if lost.exc_type is KeyboardInterrupt:
            # A moment later: at once it would be raised in here, and be lost in its turn.
            again = threading.Timer(0.05, _thread.interrupt_main)
            again.daemon = True
            again.start()
        else:
            usual(lost)

    sys.unraisablehook = hook


def main() -> None:
    """Run the command line on `sys.argv`, and exit."""
    _keep_compiled()
    _hear_every_interrupt()
    command = typer.main.get_command(app)
    if "_JAXCNN_COMPLETE" in os.environ:
        command()
    status = 0
    try:
        with command.make_context("jaxcnn", sys.argv[1:]) as context:
            command.invoke(context)
        sys.stdout.flush()
    except KeyboardInterrupt:
        _interrupted()
    except BrokenPipeError:
        # The reader has gone. The interpreter would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 1
    except typer.Exit as end:
        status = end.exit_code
    except JaxcnnError as error:
        status = _refuse(_with_option(error, command))
    except (OSError, MemoryError) as error:
        status = _refuse(_one_line(str(error) or type(error).__name__))
    except Exception as error:  # a line and never a traceback, whatever went wrong
        status = _usage(error)
    sys.exit(status)


def _usage(error: Exception) -> int:
    """The line for a usage error of the command-line library, or for a defect of ours."""
    message = getattr(error, "format_message", None)
    if message is None:
        if os.environ.get("JAXCNN_TRACEBACK"):
            raise error
        name = type(error).__name__
        _refuse(f"defect: {name}: {_one_line(str(error))} (JAXCNN_TRACEBACK=1 shows where)")
        return 1
    if type(error).__name__ == "NoArgsIsHelpError":
        print(message())
        return 0
    parameter = getattr(error, "param", None)
    name = max(getattr(parameter, "opts", None) or [""], key=len)
    if parameter is not None and not name.startswith("-"):
        name = parameter.metavar or name
    if type(error).__name__ == "MissingParameter":
        return _refuse(f"{name}: must be given; `jaxcnn {_of(error)}--help` lists the options")
    text = getattr(error, "message", "") or message()
    return _refuse(f"{name} {text}" if text.startswith("= ") else _one_line(message()))


def _of(error: Exception) -> str:
    name = getattr(getattr(error, "ctx", None), "info_name", None)
    return "" if name in (None, "jaxcnn") else f"{name} "


def _with_option(error: JaxcnnError, command: Any) -> str:
    """The error's line, with the option's own name for a Python argument."""
    line = _one_line(str(error))
    if isinstance(error, InputError):
        option = "--" + error.argument.replace("_", "-")
        asked = next((word for word in sys.argv[1:] if word in command.commands), None)
        parameters = command.commands[asked].params if asked else []
        if any(option in parameter.opts for parameter in parameters):
            return line.replace(error.argument, option, 1)
    return line


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _refuse(line: str) -> int:
    print(f"jaxcnn: {line}", file=sys.stderr)
    return WRONG


def _interrupted() -> NoReturn:
    """End at once: the engine's threads would first finish their launches."""
    sys.stderr.write("jaxcnn: interrupted\n")
    sys.stderr.flush()
    os._exit(INTERRUPTED)
