#!/usr/bin/env python3
"""compare-images.py NAME KNOWN USED CONFIG TREE CONFIG TREE   the image NAME, as imgbuild and as buildah built it
compare-images.py NAME KNOWN USED --refused LOG             buildah did not build it
compare-images.py --unused KNOWN USED                       the explanations that no image needed

Compares the config field by field and the trees file by file: kind, mode, owner, size, content, target, device, extended
attributes, and which names are one file. Times are not compared: only imgbuild keeps to one instant. Nor is the history:
buildah, building without a cache, writes one line for all steps.

KNOWN explains differences, one a line: IMAGE | DIFFERENCE | REASON, "*" in the first two standing for anything. The lines
that were used are added to USED. Exits with 1 if anything is left unexplained, or unused.
"""

import hashlib
import json
import os
import re
import stat
import sys


def explanations(path):
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip() and not line.startswith("#"):
                image, difference, reason = (part.strip() for part in line.split(" | ", 2))
                yield number, image, difference, reason


def matches(pattern, text):
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL)


def report(name, differences, known, used):
    """Prints what is different, and returns whether all of it is explained."""
    unexplained, explained = [], {}
    for difference in differences:
        for number, image, pattern, reason in explanations(known):
            if matches(image, name) and matches(pattern, difference):
                explained.setdefault((number, reason), []).append(difference)
                break
        else:
            unexplained.append(difference)
    with open(used, "a", encoding="utf-8") as file:
        for number, _ in explained:
            print(number, file=file)
    own = {}
    for (_, reason), items in explained.items():
        own.setdefault(reason, []).extend(items)
    if not differences:
        print(f"{name}: same")
    elif not unexplained:
        print(f"{name}: same but for what is known")
    else:
        print(f"{name}: different")
    for reason, items in own.items():
        first = items[0] if len(items[0]) <= 160 else items[0][:160] + "..."
        print(f"    known: {first}" + (f", and {len(items) - 1} more" if len(items) > 1 else "") + f" ({reason})")
    for difference in unexplained:
        print(f"    NOT EXPLAINED: {difference}")
    return not unexplained


def config_fields(path):
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    fields = {"author": document.get("author"), "architecture": document["architecture"], "os": document["os"]}
    for key, value in document["config"].items():
        # How Docker's format writes what OCI's leaves out, and what only Docker's daemon knows.
        if key not in ("Hostname", "Domainname", "Image", "AttachStdin", "AttachStdout", "AttachStderr", "Tty",
                       "OpenStdin", "StdinOnce", "ArgsEscaped"):
            fields["config." + key] = value
    return {key: value for key, value in fields.items() if value not in (None, "", [], {})}


KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo",
         stat.S_IFCHR: "character device", stat.S_IFBLK: "block device", stat.S_IFSOCK: "socket"}


def files(root):
    """What is in the tree, by path; paths and values as text that shows every byte."""
    root = os.fsencode(root)
    found, names = {}, {}

    def visit(path, shown):
        status = os.lstat(path)
        entry = {"kind": KINDS[stat.S_IFMT(status.st_mode)], "owner": f"{status.st_uid}:{status.st_gid}"}
        if stat.S_ISLNK(status.st_mode):
            entry["target"] = os.readlink(path).decode(errors="backslashreplace")
        else:
            entry["mode"] = f"{stat.S_IMODE(status.st_mode):04o}"
        if stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                entry["content"] = f"{status.st_size} bytes, {hashlib.sha256(file.read()).hexdigest()[:12]}"
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            names.setdefault(status.st_ino, []).append(shown)
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            entry["device"] = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        for attribute in os.listxattr(path, follow_symlinks=False):
            if attribute != "security.selinux":
                entry["attribute " + attribute] = os.getxattr(path, attribute, follow_symlinks=False).hex()
        found[shown] = entry
        if stat.S_ISDIR(status.st_mode):
            for name in sorted(os.listdir(path)):
                visit(os.path.join(path, name), shown.rstrip("/") + "/" + name.decode(errors="backslashreplace"))

    visit(root, "/")
    for same in names.values():
        if len(same) > 1:
            for name in same:
                found[name]["same file as"] = min(other for other in same if other != name)
    return found


def compare(ours, theirs, what):
    for key in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(key), theirs.get(key)
        if one != other:
            show = lambda value: "nothing" if value is None else value if isinstance(value, str) else json.dumps(value)
            yield f"{what}{key}: {show(one)} here, {show(other)} there"


def image_differences(config, tree, other_config, other_tree):
    yield from compare(config_fields(config), config_fields(other_config), "")
    ours, theirs = files(tree), files(other_tree)
    for path in sorted(ours.keys() | theirs.keys()):
        if path not in theirs:
            yield f"{path}: only here, a {ours[path]['kind']}"
        elif path not in ours:
            yield f"{path}: only there, a {theirs[path]['kind']}"
        else:
            yield from compare(ours[path], theirs[path], path + ": ")


def main(arguments):
    if arguments[:1] == ["--unused"]:
        known, used = arguments[1:]
        with open(used, encoding="utf-8") as file:
            numbers = {int(line) for line in file}
        left = [item for item in explanations(known) if item[0] not in numbers]
        for number, image, difference, _ in left:
            print(f"{known}:{number}: no difference any more: {image} | {difference}")
        return not left
    name, known, used, *rest = arguments
    if rest[0] == "--refused":
        with open(rest[1], encoding="utf-8", errors="replace") as log:
            lines = [line.strip() for line in log if line.strip()]
        return report(name, [f"buildah cannot build it: {lines[-1] if lines else 'without a word'}"], known, used)
    return report(name, list(image_differences(*rest)), known, used)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 6, 8):
        sys.exit(__doc__)
    sys.exit(0 if main(sys.argv[1:]) else 1)
