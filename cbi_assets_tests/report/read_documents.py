"""Parse an audit's HTML and Markdown, as a screen reader would."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

VOID = {"meta", "link", "br", "img", "input", "hr", "wbr"}


@dataclass
class Node:
    """One element: tag, attributes, children in order."""

    tag: str
    attributes: dict[str, str]
    children: list[Any] = field(default_factory=list)

    def text(self) -> str:
        parts = [c if isinstance(c, str) else c.text() for c in self.children]
        return " ".join("".join(parts).split())

    def all(self, tag: str) -> list[Node]:
        found = []
        for child in self.children:
            if isinstance(child, Node):
                found += [child] if child.tag == tag else []
                found += child.all(tag)
        return found

    def every(self) -> list[Node]:
        nodes = [child for child in self.children if isinstance(child, Node)]
        return [*nodes, *(below for node in nodes for below in node.every())]


class Reader(HTMLParser):
    """Build the tree; a tag closed in the wrong place fails."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_html(text: str) -> Node:
    """Return the document's tree."""
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == [reader.root]
    return reader.root


def html_tables(root: Node) -> dict[str, list[dict[str, str]]]:
    """Return every table by its caption: rows by column name."""
    found = {}
    for table in root.all("table"):
        (caption,) = table.all("caption")
        head, *body = table.all("tr")
        columns = [cell.text() for cell in head.children if isinstance(cell, Node)]
        found[caption.text()] = [
            dict(zip(columns, (c.text() for c in row.children if isinstance(c, Node)), strict=True))
            for row in body
        ]
    return found


def markdown_tables(text: str) -> dict[str, list[dict[str, str]]]:
    """Return every table by the bold line above it."""
    found: dict[str, list[dict[str, str]]] = {}
    blocks = text.split("\n\n")
    for caption, block in pairwise(blocks):
        if block.startswith("| "):
            lines = [cells(line) for line in block.splitlines()]
            rows = [dict(zip(lines[0], row, strict=True)) for row in lines[2:]]
            found[plain(caption.strip("*"))] = rows
    return found


def cells(line: str) -> list[str]:
    """Return a table row's cells without Markdown markup."""
    inner = line.strip().removeprefix("|").removesuffix("|").replace("\\|", "\0")
    return [plain(cell.strip()).replace("\0", "|") for cell in inner.split("|")]


def plain(text: str) -> str:
    """Return text without code marks and escapes."""
    if text.startswith("`") and text.endswith("`"):
        return text.strip("`")
    for mark in "\\*_<>[]#":
        text = text.replace(f"\\{mark}", mark)
    return text
