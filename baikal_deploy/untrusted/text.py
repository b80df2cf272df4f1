"""Text of unknown origin, made safe to show: what acts on a terminal, or cannot be seen, is spelled out."""

from __future__ import annotations

import re

_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: ESC and CSI, which begin a terminal's commands, among them
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"  # what turns the direction of text, or has no width
    "\u2028\u2029\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # line ends of Unicode, marks, tags
    "\ud800-\udfff]"  # bytes of a file name that are not UTF-8; printing them fails
)


def visible(text: str) -> str:
    """Text with control characters, line ends among them, as Python spells them: "\\x1b", "\\n"."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
