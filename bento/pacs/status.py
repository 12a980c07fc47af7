"""What ``status`` prints."""

import time

from bento.pacs.ledger import Ledger
from bento.pacs.metrics import WAITING, oldest_age

FAILURES = 20
"""Images that are listed one by one, at most."""


def status(ledger: Ledger) -> str:
    """Counts, the age of the oldest image that waits, and what failed and why, as text."""
    counts: dict[str, int] = dict(ledger.rows("SELECT state, COUNT(*) FROM images GROUP BY state"))
    states = (*WAITING, "done", "passed over", "set aside")
    lines = [f"{counts[state]:>8}  {state}" for state in states if state in counts] or ["no image has come"]
    if age := oldest_age(ledger):
        lines.append(f"the oldest that waits came {_age(age)} ago")
    query = "SELECT destination, state, COUNT(*) FROM deliveries GROUP BY destination, state ORDER BY 1, 2"
    lines += [f"{count:>8}  {state}: {destination}" for destination, state, count in ledger.rows(query)]
    for title, query in (
        ("passed over", "SELECT reason, COUNT(*) FROM images WHERE state = 'passed over' GROUP BY reason"),
        (
            "waiting deliveries",
            "SELECT destination || ': ' || reason, COUNT(*) FROM deliveries"
            " WHERE state = 'waiting' AND reason != '' GROUP BY 1",
        ),
        (
            "waiting images",
            "SELECT reason, COUNT(*) FROM images WHERE state IN ('found', 'received') AND reason != '' GROUP BY 1",
        ),
    ):
        if rows := ledger.rows(f"{query} ORDER BY 2 DESC LIMIT {FAILURES}"):
            lines += [f"{title}:", *(f"{count:>8}  {reason}" for reason, count in rows)]
    query = "SELECT id, tries, received, reason FROM images WHERE state = 'set aside' ORDER BY received DESC LIMIT ?"
    if rows := ledger.rows(query, (FAILURES,)):
        lines.append("set aside, the latest first (`retry ID` or `forget ID`):")
        now = time.time()
        lines += [
            f"  {image}  {_age(now - received)} ago, {tries} tries: {reason}" for image, tries, received, reason in rows
        ]
    return "\n".join(lines)


def _age(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
