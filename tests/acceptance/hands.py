"""Doing what a page offers, by mouse or by keyboard alone: the same story for both."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from playwright.async_api import FilePayload, Locator, Page, expect

FARTHEST = 150
"""Stops of the Tab key on the longest page."""


class Hands:
    """With a mouse."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def fill(self, label: str, text: str, *, exact: bool = True) -> None:
        await self.page.get_by_label(label, exact=exact).first.fill(text)

    async def choose(self, label: str, option: str) -> None:
        await self.page.get_by_label(label, exact=True).select_option(label=option)

    async def press(self, button: str) -> None:
        await self.page.get_by_role("button", name=button, exact=True).first.click()

    async def follow(self, link: str) -> None:
        await self.page.get_by_role("link", name=link).first.click()

    async def upload(self, label: str, file: FilePayload) -> None:
        await self.page.get_by_label(label, exact=True).set_input_files(file)

    async def set_time(self, label: str, value: str) -> None:
        """`2026-12-05T10:00`."""
        await self.page.get_by_label(label, exact=True).fill(value)

    async def read(self, heading: str) -> None:
        await expect(self.page.get_by_role("heading", level=1, name=heading)).to_be_visible()


class Keyboard(Hands):
    """Tab, arrows, letters, Enter and Space; nothing is clicked, and the focus is where it can be seen."""

    def __init__(self, page: Page) -> None:
        super().__init__(page)
        # From the first listener on the browser hands choosers over; asked for with the key that opens one, it may be too late.
        page.on("filechooser", lambda _chooser: None)

    async def _go_to(self, target: Locator) -> None:
        """By Tab from wherever the focus is, once around the page."""
        await expect(target).to_be_visible()
        for _ in range(FARTHEST):
            if await target.evaluate("element => element === document.activeElement"):
                assert await target.evaluate("e => e.matches(':focus-visible') && getComputedStyle(e).outlineStyle !== 'none'")
                return
            await self.page.keyboard.press("Tab")
        raise AssertionError(f"the Tab key does not lead to {target}")

    async def fill(self, label: str, text: str, *, exact: bool = True) -> None:
        await self._go_to(self.page.get_by_label(label, exact=exact).first)
        await self.page.keyboard.press("ControlOrMeta+a")
        await self.page.keyboard.press("Delete")
        await self.page.keyboard.insert_text(text)

    async def choose(self, label: str, option: str) -> None:
        field = self.page.get_by_label(label, exact=True)
        await self._go_to(field)
        await self.page.keyboard.type(option)
        await expect(field.locator("option:checked")).to_have_text(option)

    async def press(self, button: str) -> None:
        await self._go_to(self.page.get_by_role("button", name=button, exact=True).first)
        await self.page.keyboard.press("Enter")

    async def follow(self, link: str) -> None:
        await self._go_to(self.page.get_by_role("link", name=link).first)
        await self.page.keyboard.press("Enter")

    async def upload(self, label: str, file: FilePayload) -> None:
        await self._go_to(self.page.get_by_label(label, exact=True))
        async with self.page.expect_file_chooser() as chosen:
            await self.page.keyboard.press("Space")
        await (await chosen.value).set_files(file)

    async def set_time(self, label: str, value: str) -> None:
        """Typed as this browser asks for it: month, day, year, hour, minute, and which half of the day."""
        field = self.page.get_by_label(label, exact=True)
        await self._go_to(field)
        day, _, clock = value.partition("T")
        year, month, of_month = day.split("-")
        await self.page.keyboard.type(f"{month}{of_month}{year}")
        await self.page.keyboard.press("ArrowRight")
        await self.page.keyboard.type(clock.replace(":", "") + "AM")
        await expect(field).to_have_value(value)


def picture(folder: Path) -> FilePayload:
    """Of a tide, as a camera would make it: 1,600 pixels wide, which is more than a letter shows."""

    path = folder / "tide.jpg"
    Image.linear_gradient("L").resize((1600, 800)).convert("RGB").save(path, quality=80)
    return FilePayload(name="tide.jpg", mimeType="image/jpeg", buffer=path.read_bytes())
