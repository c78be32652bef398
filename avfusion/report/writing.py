"""Files of documents, tables and figures in a folder: report.html, report.md, pictures, CSV."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from avfusion.errors import UserError
from avfusion.report.document import Document
from avfusion.report.html import to_html
from avfusion.report.markdown import to_markdown
from avfusion.system.files import replacing, write_atomically

HTML, MARKDOWN, PICTURES = "report.html", "report.md", "figures"


def write_report(document: Document, folder: Path) -> tuple[Path, Path]:
    """Write both forms into `folder`, which is made if need be; returns their paths.

    Raises `UserError` if the folder cannot be written.
    """
    with _writing(folder):
        (folder / PICTURES).mkdir(parents=True, exist_ok=True)
        images = {picture.key: png(picture.figure) for picture in document.pictures}
        for picture in document.pictures:
            write_atomically(folder / PICTURES / picture.file, images[picture.key])
        write_atomically(folder / MARKDOWN, to_markdown(document, PICTURES).encode())
        write_atomically(folder / HTML, to_html(document, images).encode())
    return folder / HTML, folder / MARKDOWN


def write_tables(tables: Mapping[str, pd.DataFrame], figures: Mapping[str, Figure], folder: Path) -> None:
    """Write tables as NAME.csv and figures as NAME.png into `folder`, which is made if need be.

    Raises `UserError` if the folder cannot be written.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            with replacing(folder / f"{name}.csv") as path:
                table.to_csv(path, index=False)
        for name, figure in figures.items():
            write_atomically(folder / f"{name}.png", png(figure))


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """`UserError` in place of what the system says of a folder that cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"output={folder}: cannot be written ({error.strerror or error}); name a folder that can, as output=FOLDER"
        ) from error
