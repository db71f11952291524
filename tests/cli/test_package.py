"""The install script on a made-up release, and `moraine self-test`. That a real release runs on clean systems is tried
by .github/workflows/release.yml."""

import hashlib
import os
import subprocess
import tarfile

import pytest

from conftest import PROGRAM, ROOT

INSTALL = ROOT / "scripts" / "install.sh"


def test_self_test():
    done = subprocess.run([PROGRAM, "self-test"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "scalar" in done.stdout and "WRONG" not in done.stdout
    assert "All instruction sets of this CPU give the same bits." in done.stdout


@pytest.fixture
def release(tmp_path):
    """A tarball as scripts/package lays it out; its program only prints a version."""
    tree = tmp_path / "moraine-9.9.9-linux-x86_64"
    for path, text in {"bin/moraine": "#!/bin/sh\necho moraine 9.9.9\n", "lib/moraine/libx.so.1": "x", "share/man/man1/moraine.1.gz": "m"}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    (tree / "bin/moraine").chmod(0o755)
    (tree / "install.sh").write_bytes(INSTALL.read_bytes())
    archive = tmp_path / f"{tree.name}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tree, tree.name)
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}\n")
    return archive


def install(home, *args, script=INSTALL):
    home.mkdir(exist_ok=True)
    return subprocess.run(["sh", script, *map(str, args)], capture_output=True, text=True, timeout=60,
                          env={"PATH": os.environ["PATH"], "HOME": str(home)})


def files_below(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_install_again_and_uninstall(release, tmp_path):
    home = tmp_path / "home"
    (home / ".local/bin").mkdir(parents=True)
    (home / ".local/bin/mine").touch()
    done = install(home, "--from", release)
    assert done.returncode == 0, done.stderr
    assert "Installed moraine 9.9.9" in done.stdout and "PATH" in done.stdout
    installed = files_below(home)
    assert ".local/bin/moraine" in installed and ".local/lib/moraine/libx.so.1" in installed
    assert os.access(home / ".local/bin/moraine", os.X_OK)
    # From the unpacked tree, over the first; what only the first had goes.
    (home / ".local/lib/moraine/old.so").touch()
    with (home / ".local/share/moraine/installed-files").open("a") as names:
        names.write("lib/moraine/old.so\n/etc/hostname\n../../outside\n")
    (tmp_path / "outside").touch()
    assert install(home, script=tmp_path / "moraine-9.9.9-linux-x86_64" / "install.sh").returncode == 0
    assert files_below(home) == installed and (tmp_path / "outside").exists()
    assert install(home, "--uninstall").returncode == 0
    assert files_below(home) == [".local/bin/mine"]
    assert install(home, "--uninstall").returncode == 1


def test_a_release_that_was_changed_is_not_installed(release, tmp_path):
    with release.open("ab") as file:
        file.write(b"x")
    done = install(tmp_path / "home", "--from", release)
    assert done.returncode == 1 and "nothing was installed" in done.stderr
    assert files_below(tmp_path / "home") == []


def test_what_cannot_be_installed(tmp_path):
    assert install(tmp_path / "home", "--nonsense").returncode == 2
    assert install(tmp_path / "home", "--from", tmp_path / "missing.tar.gz").returncode != 0
    assert "holds no bin/moraine" in install(tmp_path / "home").stderr
