"""Pages from templates, with every picture inside."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from writing.files import write_bytes

_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".gif": "image/gif",
    ".svg": "image/svg+xml",
    ".mp4": "video/mp4",
}


def write_page(path: Path, template: str, **context: Any) -> None:
    """Fill a template of templates/ and write the page.

    Args:
        path: the HTML file.
        template: name in templates/.
        context: what the template shows; text is escaped.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_bytes(path, environment.get_template(template).render(**context).encode())


def data_uri(path: Path) -> str:
    """The file as an address that holds it whole, so that the page needs no other file."""
    content = base64.b64encode(path.read_bytes()).decode()
    return f"data:{_TYPES[path.suffix.lower()]};base64,{content}"
