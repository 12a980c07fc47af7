"""The gateway's command line: films come from the PACS, are judged, and the results go back into it."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from pydantic import ValidationError

from bento.cpu import M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, tell_allocator
from bento.pacs.settings import PacsSettings, check_pacs_environment
from bento.pacs.spool import Spool, SpoolError

USAGE_ERROR = 2
MB = 1 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code; 2 where a setting or an argument is wrong, after one line that says what.
    """
    parsed = vars(_parser().parse_args(arguments))
    command, image = parsed.pop("command"), parsed.pop("image", "")
    given = {name: value for name, value in parsed.items() if value is not None}
    try:
        check_pacs_environment(os.environ)
        settings = PacsSettings(**given)
        if command == "run":
            return _run(settings)
        return _look_up(command, settings, image)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"--{str(part).replace('_', '-')}: " for part in first["loc"])
        message = f"{where}{first['msg'].removeprefix('Value error, ')}"
    except ModuleNotFoundError as error:
        message = f"{error.name} is missing: pip install 'chest-xray-service[pacs]'"
    except (ValueError, OSError, SpoolError) as error:
        message = f"{error}"
    print(f"bento.pacs: {message}", file=sys.stderr)
    return USAGE_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bento.pacs", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="take images in, have them judged, send the results", allow_abbrev=False)
    for name, field in PacsSettings.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        text = " ".join((field.description or "").split()).replace("``", "").replace("%", "%%")
        if field.annotation is bool:
            run.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            run.add_argument(flag, default=None, help=text, metavar="VALUE")
    for name, text in (
        ("status", "how many images are where, and what failed and why"),
        ("retry", "begin again at once with an image, or with all that were set aside or wait"),
        ("forget", "delete an image's files and all that is known of it, so that it may come again"),
    ):
        one = commands.add_parser(name, help=text, allow_abbrev=False)
        one.add_argument("--spool", default=None, metavar="FOLDER", help="of the running gateway")
        if name != "status":
            one.add_argument("image", nargs="?" if name == "retry" else None, default="", help="its id, see status")
    return parser


def _look_up(command: str, settings: PacsSettings, image: str) -> int:
    from bento.pacs.ledger import FILE, Ledger
    from bento.pacs.status import status

    if not (settings.spool / FILE).is_file():
        raise ValueError(f"--spool: {settings.spool} has no ledger; name the folder of the running gateway")
    ledger = Ledger(settings.spool)
    if command == "status":
        print(status(ledger))
    elif command == "retry":
        print(f"{ledger.retry(image)} begin again")
    elif ledger.forget(image):
        Spool(settings.spool, 0).delete(image)
        print("forgotten")
    else:
        raise ValueError(f"{image}: no such image; see `python -m bento.pacs status`")
    return 0


def _run(settings: PacsSettings) -> int:
    from bento.pacs.gateway import Gateway
    from bento.pacs.log import log_as_json

    log_as_json()
    # A film is several times copied on its way, and some megabytes large.
    tell_allocator({M_ARENA_MAX: 1, M_MMAP_THRESHOLD: 32 * MB, M_TRIM_THRESHOLD: 128 * MB})
    gateway = Gateway(settings)
    done = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        done.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    gateway.start()
    try:
        while not done.wait(1) and gateway.is_alive():
            pass
    finally:
        gateway.stop()
    return 0 if done.is_set() else 1
