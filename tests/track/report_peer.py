# SPDX-License-Identifier: Apache-2.0
"""Reads a report with Python's own parser: every element is closed where it should be, nothing is loaded; prints the table."""

import sys
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input"}
SVG_ROOT = "svg"


class Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.rows, self.texts = [], [], []

    def handle_starttag(self, tag, attributes):
        assert tag not in ("script", "iframe", "object", "embed", "link"), tag
        for name, value in attributes:
            assert name not in ("src", "href", "data", "action") and not name.startswith("on"), (tag, name)
            assert "url(" not in (value or ""), (tag, name, value)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([dict(attributes).get("class", "")])
        if tag in ("td", "th"):
            self.rows[-1].append([dict(attributes).get("title"), ""])

    def handle_startendtag(self, tag, attributes):
        assert SVG_ROOT in self.open, tag

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, (tag, self.open)

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1][1] += data
        elif self.open and self.open[-1] == "style":
            assert "url(" not in data and "@import" not in data
        elif data.strip():
            self.texts.append(data.strip())


reader = Reader()
with open(sys.argv[1], encoding="utf-8") as file:
    content = file.read()
reader.feed(content)
reader.close()
assert not reader.open, reader.open
assert content.startswith("<!doctype html>")
for row in reader.rows:
    print(row[0] or "-", *((exact or shown or "nothing") for exact, shown in row[1:]), sep="|")
for text in reader.texts:
    print("text:", text)
