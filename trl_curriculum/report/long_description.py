"""
README.md for an index of packages, which resolves no relative links: `python -m trl_curriculum.report.long_description
README.md URL` makes them absolute, in place.
"""

import re
import sys
from pathlib import Path

from ..version import __version__


def absolute(readme: str, url: str, tag: str) -> str:
    """
    The page with links to files as they are found at a tag of a repository on GitHub, or a host with its addresses.

    Args:
        readme (`str`):
            The page, whose links to files are relative to the repository's root.
        url (`str`):
            Where the repository is.
        tag (`str`):
            Of the release.
    """
    url = url.rstrip("/")

    def link(match: re.Match[str]) -> str:
        image, text, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        kind = "raw" if image else "blob"
        return f"{image}[{text}]({url}/{kind}/{tag}/{target})"

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", link, readme)


def main() -> None:
    """Rewrites a page in place."""
    page, url = Path(sys.argv[1]), sys.argv[2]
    page.write_text(absolute(page.read_text(encoding="utf-8"), url, f"v{__version__}"), encoding="utf-8")


if __name__ == "__main__":
    main()
