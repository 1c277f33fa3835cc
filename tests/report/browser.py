"""
Opens reports of real tiny runs in Chromium, wide and narrow, light and dark: `make report-pages`.

Nothing may be logged as an error or asked of a network, every figure of every tab must be drawn, tabs, axes, tooltips
and data must work, no text of the data may become an element, and the page must fit into its window.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright


HERE = Path(__file__).parent
for folder in (HERE, HERE.parent, HERE.parent / "trainers"):
    sys.path.insert(0, str(folder))

from report_runs import tiny_runs  # noqa: E402

from trl_curriculum.report.page import write_report  # noqa: E402


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
WIDTHS = (1280, 390)
LOCAL = ("file:", "data:", "blob:")


def check(page: Page, file: Path, screenshots: Path | None, name: str) -> int:
    """Goes through a report as a person would; returns the number of figures that it saw."""
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("request", lambda one: None if one.url.startswith(LOCAL) else said.append(f"request: {one.url}"))
    page.goto(file.as_uri())
    tabs, figures = page.get_by_role("tab"), 0
    for k in range(tabs.count()):
        tabs.nth(k).click()
        assert page.locator(".panel:visible").count() == 1
        figures += drawn(page)
        if screenshots is not None:
            page.screenshot(path=screenshots / f"{name}-{k}.png", full_page=True)
    tabs.nth(0).click()
    tabs.nth(0).press("ArrowRight")
    assert tabs.nth(1).get_attribute("aria-selected") == "true", "arrow keys move between the tabs"
    tabs.nth(0).click()
    title = ".panel.active .chart >> nth=0 >> text=optimizer steps"
    assert page.locator(title).count() == 1
    page.get_by_role("radio", name="tokens").check()
    page.locator(title).wait_for(state="detached")
    drawn(page)
    hover(page)
    open_data(page)
    assert page.evaluate("document.title").startswith("Curric") and page.locator("main img").count() == 0
    assert said == [], said
    return figures


def drawn(page: Page) -> int:
    """Waits until the figures of the tab are drawn; how many there are."""
    charts = page.locator(".panel.active .chart")
    page.wait_for_function(
        "[...document.querySelectorAll('.panel.active .chart')].every((one) => one.querySelector('svg.marks'))"
    )
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert over <= 0, f"the page is {over} pixels wider than its window"
    wide = page.evaluate(
        "[...document.querySelectorAll('.panel.active .chart svg.marks')].filter((one) => "
        "one.getBoundingClientRect().right > document.documentElement.clientWidth + 1).length"
    )
    assert wide == 0, f"{wide} figures reach out of the window"
    return charts.count()


def hover(page: Page) -> None:
    """A tooltip appears, and says what is under the mouse."""
    page.locator(".panel.active .chart svg.marks").first.hover(position={"x": 200, "y": 100})
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    text = tooltip.inner_text()
    assert "share" in text and "draws" in text and tooltip.locator("script, img").count() == 0, text
    page.mouse.move(0, 0)


def open_data(page: Page) -> None:
    """The data of a figure can be seen and saved."""
    details = page.locator(".panel.active figure > details").first
    details.locator("summary").click()
    assert details.locator("tbody tr").count() > 1 and details.locator("td script, td img").count() == 0
    with page.expect_download() as saved:
        details.get_by_role("button", name="Download CSV").click()
    lines = Path(saved.value.path()).read_text().splitlines()
    assert '"arm"' in lines[0] and len(lines) > 2, lines[:2]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--screenshots", type=Path, help="a folder to leave pictures of every tab in")
    args = parser.parse_args(argv)
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        raise SystemExit(f"No browser is installed: install one of {', '.join(BROWSERS)}.")
    if args.screenshots is not None:
        args.screenshots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        folder = Path(made)
        tiny_runs(folder)
        named = {"grpo": ["grpo"], "both": ["grpo", "sft"]}
        pages = {
            name: write_report([str(folder / run) for run in runs], folder / f"{name}.html", disable_tqdm=True)
            for name, runs in named.items()
        }
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for name, file in pages.items():
            for width in WIDTHS:
                for scheme in ("light", "dark"):
                    options: dict[str, Any] = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
                    page = browser.new_page(**options)
                    figures = check(page, file, args.screenshots, f"{name}-{width}-{scheme}")
                    page.close()
                    print(f"{name}, {width} pixels, {scheme}: {figures} figures")
        browser.close()


if __name__ == "__main__":
    main()
