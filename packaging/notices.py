#!/usr/bin/env python3
"""The licences of what is within the program or beside it, on standard output: distribution packages by their
copyright files, Rust crates by the files in their sources. Run where the release is built."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What the release holds of distribution packages: headers compiled in, static libraries, shared ones beside it.
PACKAGES = [("Boost", ["libboost1.81-dev", "libboost1.83-dev"]), ("OpenSSL", ["libssl-dev"]), ("JSON for Modern C++", ["nlohmann-json3-dev"]),
            ("PCRE2", ["libpcre2-dev"]), ("utf8proc", ["libutf8proc-dev"]), ("spdlog", ["libspdlog-dev"]), ("fmt", ["libfmt-dev"]), ("SQLite", ["libsqlite3-dev"]),
            ("Vulkan headers", ["libvulkan-dev"])]


def rule(title):
    print(f"\n{'=' * 100}\n{title}\n{'=' * 100}\n")


def distribution_packages():
    for title, names in PACKAGES:
        for name in names:
            found = Path("/usr/share/doc") / name / "copyright"
            if found.exists():
                rule(title)
                print(found.read_text(errors="replace").strip())
                break
        else:
            sys.exit(f"notices: no licence found for {title}: is its development package installed?")


def crates():
    metadata = json.loads(subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked", "--offline", "--manifest-path", ROOT / "rust/Cargo.toml",
         "--filter-platform", "x86_64-unknown-linux-gnu"], check=True, capture_output=True, text=True).stdout)
    nodes = {n["id"]: n for n in metadata["resolve"]["nodes"]}
    wanted, todo = set(), [metadata["resolve"]["root"]]
    while todo:  # what is linked: not what only builds or tests need
        for dep in nodes[todo.pop()]["deps"]:
            if any(kind["kind"] is None for kind in dep["dep_kinds"]) and dep["pkg"] not in wanted:
                wanted.add(dep["pkg"])
                todo.append(dep["pkg"])
    for package in sorted((p for p in metadata["packages"] if p["id"] in wanted), key=lambda p: p["name"]):
        rule(f"{package['name']} {package['version']} (Rust): {package['license'] or 'see below'}")
        folder = Path(package["manifest_path"]).parent
        texts = sorted(f for f in folder.iterdir() if f.is_file() and f.name.upper().startswith(("LICENSE", "LICENCE", "COPYING", "NOTICE")))
        for text in texts:
            print(text.read_text(errors="replace").strip() + "\n")
        if not texts:
            print(f"{', '.join(package['authors'])}; {package['repository'] or ''}")


print("moraine is under the Apache licence, version 2.0. It contains, or comes with, the software below.")
distribution_packages()
crates()
