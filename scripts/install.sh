#!/bin/sh
# Installs moraine for this user, without root: program, completions and manual page below ~/.local.
#
#   ./install.sh                      from the unpacked tarball this file lies in
#   ./install.sh --from FILE|URL      from a release tarball; its SHA-256 is compared with SHA256SUMS beside it
#   ./install.sh --prefix DIR         elsewhere than in ~/.local
#   ./install.sh --uninstall          takes away what it installed, and nothing else
#
# A second time it replaces the first. Models, caches and settings are never touched.
set -eu

prefix=${HOME:?HOME is not set}/.local
from=
uninstall=no
while [ $# -gt 0 ]; do
  case $1 in
    --from) from=${2:?--from FILE or URL}; shift ;;
    --prefix) prefix=${2:?--prefix DIR}; shift ;;
    --uninstall) uninstall=yes ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "$0"; exit 0 ;;
    *) echo "install: unknown argument '$1'; try --help" >&2; exit 2 ;;
  esac
  shift
done
die() { echo "install: $*" >&2; exit 1; }
list=$prefix/share/moraine/installed-files

remove_files() { # FILE: names below the prefix, one a line
  while IFS= read -r file; do
    case $file in /* | *..*) continue ;; esac
    rm -f "$prefix/$file"
  done <"$1"
}
remove_old() {
  remove_files "$list"
  rm -f "$list"
  for folder in lib/moraine share/moraine share/doc/moraine/docs share/doc/moraine share/licenses/moraine; do
    rmdir "$prefix/$folder" 2>/dev/null || true
  done
}

if [ $uninstall = yes ]; then
  [ -f "$list" ] || die "nothing of moraine was installed in $prefix by this script"
  remove_old
  echo "Removed moraine from $prefix. What it left elsewhere: docs/uninstall.md."
  exit 0
fi

[ "$(uname -sm)" = "Linux x86_64" ] || die "this release is for Linux on x86-64; here is $(uname -sm)"
work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
fetch() { # URL FILE
  if command -v curl >/dev/null; then curl -fsSL --proto '=https,http' -o "$2" "$1"
  elif command -v wget >/dev/null; then wget -qO "$2" "$1"
  else die "fetching $1 needs curl or wget"; fi
}
if [ -n "$from" ]; then
  work=$(mktemp -d)
  archive=$work/$(basename "$from")
  case $from in
    http://* | https://*)
      fetch "$from" "$archive" || die "$from could not be fetched"
      fetch "${from%/*}/SHA256SUMS" "$work/SHA256SUMS" || die "there is no SHA256SUMS beside $from" ;;
    *)
      cp "$from" "$archive"
      cp "$(dirname "$from")/SHA256SUMS" "$work/SHA256SUMS" || die "there is no SHA256SUMS beside $from" ;;
  esac
  (cd "$work" && grep " $(basename "$from")\$" SHA256SUMS | sha256sum -c - >/dev/null) || die "the SHA-256 of $from is not that of SHA256SUMS: nothing was installed"
  tar -xzf "$archive" -C "$work"
  tree=$(find "$work" -mindepth 1 -maxdepth 1 -type d)
else
  tree=$(cd "$(dirname "$0")" && pwd)
fi
[ -x "$tree/bin/moraine" ] || die "$tree holds no bin/moraine: unpack the tarball and run its install.sh, or use --from"
"$tree/bin/moraine" --version >/dev/null || die "the program does not start on this system (it needs glibc 2.36: Debian 12, Ubuntu 24.04 or newer)"

mkdir -p "$prefix/share/moraine"
(cd "$tree" && find bin lib share -type f) >"$list.new"
while IFS= read -r file; do
  mkdir -p "$prefix/$(dirname "$file")"
  # Under a new name first: a program that runs is not overwritten.
  cp "$tree/$file" "$prefix/$file.new.$$"
  mv -f "$prefix/$file.new.$$" "$prefix/$file"
done <"$list.new"
# What an earlier version had and this one has not.
if [ -f "$list" ]; then
  grep -vxF -f "$list.new" "$list" >"$list.gone" || true
  remove_files "$list.gone"
  rm -f "$list.gone"
fi
mv "$list.new" "$list"

echo "Installed $("$prefix/bin/moraine" --version) in $prefix."
case ":$PATH:" in
  *":$prefix/bin:"*) echo "Next: moraine doctor" ;;
  *) echo "Next: add $prefix/bin to your PATH (export PATH=\"$prefix/bin:\$PATH\"), then: moraine doctor" ;;
esac
