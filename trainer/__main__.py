"""``python -m trainer``, and the console script."""

import sys


def main() -> int:
    """Run a command; see :func:`trainer.cli.main`. Ctrl-C is told in one line while the command line loads, too."""
    try:
        from trainer.cli import main as run
    except KeyboardInterrupt:
        print("\ntrainer: interrupted", file=sys.stderr)
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
