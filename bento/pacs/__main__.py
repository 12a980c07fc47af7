"""``python -m bento.pacs``."""

import sys


def main() -> int:
    """Run a command; see :func:`bento.pacs.cli.main`. Ctrl-C is told in one line while the command line loads, too."""
    try:
        from bento.pacs.cli import main as run

        return run()
    except KeyboardInterrupt:
        print("\nbento.pacs: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
