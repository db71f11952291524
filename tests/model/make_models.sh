#!/usr/bin/env bash
# Makes the tiny random models that the golden files of tests/oracle name, where they are not there yet.
set -euo pipefail
out=$1
python=${MORAINE_PYTHON:-.venv/bin/python}
mkdir -p "$out"
for golden in tests/oracle/golden/tiny-*.golden; do
  name=$(sed -n 's/^model //p' "$golden")
  sum=$(sed -n 's/^sha256 //p' "$golden")
  [ -f "$out/$name" ] && echo "$sum  $out/$name" | sha256sum --check --status && continue
  read -r -a command <<<"$(sed -n 's/^origin python3 //p' "$golden")"
  command[-1]="$out/.$name"
  "$python" "${command[@]}"
  echo "$sum  $out/.$name" | sha256sum --check --quiet
  mv "$out/.$name" "$out/$name"
done
