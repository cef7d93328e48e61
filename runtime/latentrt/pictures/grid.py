"""A labelled sheet of pictures: columns, rows, and where there is a third axis, one block under the other."""

from collections.abc import Sequence
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

Font: TypeAlias = "ImageFont.ImageFont | ImageFont.FreeTypeFont"
Block: TypeAlias = Sequence[Sequence[Image.Image]]  # rows of pictures

GAP = 4  # pixels between pictures
_BACKGROUND, _INK = "white", "black"


def draw_grid(
    blocks: Sequence[Block], columns: Sequence[str], rows: Sequence[str], titles: Sequence[str]
) -> Image.Image:
    """One picture of all.

    Args:
        blocks: of each title, rows of pictures, as many in each as there are columns.
        columns: labels above them; empty strings take no room.
        rows: labels at the left, likewise.
        titles: labels above each block, likewise.
    """
    cell_width = max(picture.width for block in blocks for row in block for picture in row)
    cell_height = max(picture.height for block in blocks for row in block for picture in row)
    font = _font(cell_width)
    line = _height(font)
    tops = [wrap(text, font, cell_width) for text in columns]
    lefts = [wrap(text, font, cell_width) for text in rows]
    left = max((_width(text, font) for lines in lefts for text in lines), default=0)
    left += 2 * GAP if left else 0
    top = line * max(map(len, tops)) + (GAP if any(tops) else 0)
    width = left + len(columns) * (cell_width + GAP) + GAP
    heads = [wrap(text, font, width - 2 * GAP) for text in titles]
    title = line * max(map(len, heads)) + (GAP if any(heads) else 0)
    height = len(blocks) * (title + top + len(rows) * (cell_height + GAP)) + GAP
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    y = GAP
    for head, block in zip(heads, blocks, strict=True):
        _write(draw, head, width / 2, y, font, line)
        y += title
        for column, lines in enumerate(tops):
            x = left + GAP + column * (cell_width + GAP)
            _write(draw, lines, x + cell_width / 2, y + top - GAP - line * len(lines), font, line)
        y += top
        for lines, pictures in zip(lefts, block, strict=True):
            if left:
                _write(draw, lines, left / 2, y + (cell_height - line * len(lines)) / 2, font, line)
            for column, picture in enumerate(pictures):
                x = left + GAP + column * (cell_width + GAP)
                # In the middle, where pictures differ in size.
                place = (x + (cell_width - picture.width) // 2, y + (cell_height - picture.height) // 2)
                sheet.paste(picture, place)
            y += cell_height + GAP
    return sheet


def wrap(text: str, font: Font, width: float) -> list[str]:
    """Lines of a text, broken at spaces, and inside of words that are longer than a line."""
    lines: list[str] = []
    for word in text.split():
        if lines and _width(f"{lines[-1]} {word}", font) <= width:
            lines[-1] += f" {word}"
            continue
        while _width(word, font) > width and len(word) > 1:
            cut = next((n for n in range(len(word) - 1, 1, -1) if _width(word[:n], font) <= width), 1)
            lines.append(word[:cut])
            word = word[cut:]
        lines.append(word)
    return lines


def _font(cell_width: int) -> Font:
    return ImageFont.load_default(max(11, cell_width // 14))


def _width(text: str, font: Font) -> int:
    return round(font.getlength(text))


def _height(font: Font) -> int:
    box = font.getbbox("Åg")
    return round(box[3] * 1.15)


def _write(
    draw: ImageDraw.ImageDraw, lines: Sequence[str], x: float, y: float, font: Font, line: int
) -> None:
    for index, text in enumerate(lines):
        draw.text((x, y + index * line), text, _INK, font, anchor="ma")
