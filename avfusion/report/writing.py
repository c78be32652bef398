"""A document into files: report.html, report.md and the pictures of the latter."""

import io
from pathlib import Path

from matplotlib.figure import Figure

from avfusion.errors import UserError
from avfusion.report.document import Document
from avfusion.report.html import to_html
from avfusion.report.markdown import to_markdown
from avfusion.system.files import write_atomically

HTML, MARKDOWN, PICTURES = "report.html", "report.md", "figures"


def write_report(document: Document, folder: Path) -> tuple[Path, Path]:
    """Write both forms into `folder`, which is made if need be; returns their paths.

    Raises `UserError` if the folder cannot be written.
    """
    try:
        (folder / PICTURES).mkdir(parents=True, exist_ok=True)
        images = {picture.key: png(picture.figure) for picture in document.pictures}
        for picture in document.pictures:
            write_atomically(folder / PICTURES / picture.file, images[picture.key])
        write_atomically(folder / MARKDOWN, to_markdown(document, PICTURES).encode())
        write_atomically(folder / HTML, to_html(document, images).encode())
    except OSError as error:
        raise UserError(
            f"output={folder}: cannot be written ({error.strerror or error}); name a folder that can, as output=FOLDER"
        ) from error
    return folder / HTML, folder / MARKDOWN


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
