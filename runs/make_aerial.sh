#!/usr/bin/env bash
# The generated roads that the models learn from: 498 pictures in out/aerial, 471 and 632 of what is hard on them, about
# half an hour on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
python runs/make_aerial.py --out out/aerial --count 240 &
python runs/make_aerial.py --out out/aerial --first 420 --count 258
wait
python runs/make_aerial.py --lines --out out/aerial --count 540
python runs/make_aerial.py --beside --out out/aerial --count 780
