#!/usr/bin/env bash
# The generated roads that the models learn from: 498 pictures in out/aerial, about ten minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
python runs/make_aerial.py --out out/aerial --count 240 &
python runs/make_aerial.py --out out/aerial --first 420 --count 258
wait
