#!/usr/bin/env bash
# Prints the path of a Python 3.13 for the virtual environment, or what to do if there is none.
set -u
wanted=3.13
for candidate in "${PYTHON:-}" python3.13 python3 python; do
  [ -n "$candidate" ] || continue
  # Run the candidate: a pyenv shim exists even where its version is not installed.
  if found=$("$candidate" -c 'import sys, venv; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) \
    && [ "$found" = "$wanted" ]; then
    "$candidate" -c 'import sys; print(sys.executable)'
    exit 0
  fi
done
if command -v uv >/dev/null 2>&1 && found=$(uv python find --no-project "$wanted" 2>/dev/null); then
  echo "$found"
  exit 0
fi
cat >&2 <<TEXT
This project needs Python $wanted, which Azure Functions runs, and none was found. Install it, for example:
  pyenv:   pyenv install $wanted          (the folder's .python-version selects it)
  uv:      uv python install $wanted
  Debian or Ubuntu, where the release has it:   apt install python$wanted python$wanted-venv
  macOS:   brew install python@$wanted
  Windows: winget install Python.Python.$wanted, then use WSL for make
or name one:   make PYTHON=/path/to/python$wanted test
TEXT
exit 1
