"""A browser without a window, for tests, where Chromium is installed.

`.ci/run` installs Debian's packages chromium and chromium-driver.
"""

import shutil
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from tests.mlflow_server import mlflow_server

QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
"""A browser that asks for nothing but what a test opens."""

PATIENCE = 30.0
"""Seconds that a page may take to show something."""


def programs() -> tuple[str, str] | None:
    """Where Chromium and its driver are; None if one of them is not installed."""
    found = shutil.which("chromium"), shutil.which("chromedriver")
    return (found[0], found[1]) if found[0] and found[1] else None


class Browser:
    """What tests ask of a browser: open, wait, read, picture, print."""

    def __init__(self, driver: Chrome, pictures: Path) -> None:
        self.driver, self.pictures = driver, pictures

    def open(self, address: str) -> None:
        """Open a page anew, whatever was open; addresses that differ after `#` alone would not be."""
        self.driver.get("about:blank")
        self.driver.get(address)

    def js(self, script: str, *arguments: object) -> Any:
        """What a function body gives in the page."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str, *arguments: object) -> Any:
        """What a function body gives in the page, once it gives something true."""
        end, found = time.monotonic() + PATIENCE, None
        while not found:
            if time.monotonic() > end:
                self.picture("waited-in-vain")
                raise AssertionError(f"{script} gave {found!r} for {PATIENCE:g} s at {self.driver.current_url}")
            time.sleep(0.1)
            found = self.js(script, *arguments)
        return found

    def enter(self, frame: str) -> None:
        """Read on in the first frame that this selector finds, once there is one."""
        self.wait("return document.querySelector(arguments[0]) !== null", frame)
        self.driver.switch_to.frame(self.js("return document.querySelector(arguments[0])", frame))

    def leave(self) -> None:
        """Read on in the page itself."""
        self.driver.switch_to.default_content()

    def resize(self, width: int, height: int) -> None:
        """Make the page so many pixels large."""
        settings = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", settings)

    def picture(self, name: str) -> Path:
        """What the page shows, as a file of this name among the pictures."""
        path = self.pictures / f"{name}.png"
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        path.write_bytes(b64decode(shot["data"]))
        return path

    def print(self, name: str) -> Path:
        """The page on A4 paper, as its own style sheet wants it."""
        path = self.pictures / f"{name}.pdf"
        options = {"preferCSSPageSize": True, "printBackground": True}
        path.write_bytes(b64decode(self.driver.execute_cdp_cmd("Page.printToPDF", options)["data"]))
        return path

    def media(self, kind: str) -> None:
        """Show pages as they are for `print` or for the `screen`."""
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": kind})


@contextmanager
def browser(pictures: Path) -> Iterator[Browser]:
    """Chromium with an empty profile."""
    found = programs()
    assert found is not None
    with TemporaryDirectory(prefix="avfusion-chromium-") as profile:
        options = ChromeOptions()
        options.binary_location = found[0]
        for argument in (*QUIET, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        driver = Chrome(options, Service(found[1]))
        try:
            yield Browser(driver, pictures)
        finally:
            driver.quit()


mlflow_ui = mlflow_server
"""The server, for who looks at its pages."""
