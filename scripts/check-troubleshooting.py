#!/usr/bin/env python3
"""check-troubleshooting.py: checks that docs/troubleshooting.md has a row for every error that the program can end with.

Texts are taken from the sources: the literal that each error there is made with. The first column of a row holds texts in
backticks; in them words in capitals, what stands between quotes, and "..." stand for anything. A text may be a part of an error's.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs/troubleshooting.md"
MADE = re.compile(r"\b(?:BuildError|RegistryError|DockerfileError|OCIError|ValidationError|LayerError\.invalid)\(")
# What stands for a value that is only known when the program runs.
VALUE = "\0"
# Less is in anything (characters): texts of values alone, and statuses.
SHORTEST = 5


def words(said):
    """What of a text is there before the program runs."""
    return said.replace(VALUE, "").strip(" \n:;()'")


def literal(text, start):
    """The literal that begins at `start`, with its values replaced, and where it ends."""
    out, at, depth = "", start + 1, 0
    while depth or text[at] != '"':
        if text.startswith("\\(", at):
            out += VALUE if not depth else ""
            depth, at = depth + 1, at + 2
            continue
        if depth:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
        elif text[at] == "\\":
            out, at = out + {"n": "\n"}.get(text[at + 1], text[at + 1]), at + 1
        else:
            out += text[at]
        at += 1
    return out, at + 1


def message(text, start):
    """The literal that the message of an error begins with, whose parenthesis opened before `start`; "" where it is made elsewhere."""
    depth, at, label, found = 1, start, "", ""
    while depth:
        if text[at] == '"':
            value, at = literal(text, at)
            if label in ("", "message", "reason") and not found and len(words(value)) >= SHORTEST:
                found = value
            continue
        if depth == 1 and (named := re.match(r"(\w+):", text[at:])):
            label, at = named[1], at + named.end()
            continue
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(text[at], 0)
        at += 1
    return found


def errors():
    """All messages, each with a place where it is made."""
    for path in sorted((ROOT / "Sources").rglob("*.swift")):
        text = path.read_text()
        for made in MADE.finditer(text):
            said = message(text, made.end())
            if said and not said.startswith("[internal error]"):
                yield said, f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, made.start()) + 1}"


def rows():
    """The texts of the document, as regular expressions."""
    for line in DOCUMENT.read_text().splitlines():
        if not line.startswith("| "):
            continue
        cell = line.replace("\\|", VALUE).split("|")[1].replace(VALUE, "|")
        for quoted in re.findall(r"`([^`]+)`", cell):
            parts = re.split(r"\.\.\.|'[^']*'|\b[A-Z]+(?:_[A-Z]+)*\b", quoted)
            if len("".join(parts).strip()) >= SHORTEST:
                yield re.compile(".*".join(re.escape(part) for part in parts), re.DOTALL)


known = list(rows())
missing = {}
for said, place in errors():
    if not any(row.search(said) for row in known):
        missing.setdefault(said, place)
for said, place in sorted(missing.items(), key=lambda item: item[1]):
    print(f"{place}: docs/troubleshooting.md has no row for '{said.replace(VALUE, '...')}'", file=sys.stderr)
sys.exit(bool(missing))
