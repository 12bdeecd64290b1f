#!/usr/bin/env bash
# Everything that made the shipped model 'nano'. Needs FISSURA_DATA and fissura[dev] on PATH, and its teacher, the sixth
# stage of runs/fast.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -f out/fast_stage6/fast_stage6.safetensors ] || { echo "there is no out/fast_stage6; run runs/fast.sh first" >&2; exit 1; }
[ -d out/aerial/aerial ] || runs/make_aerial.sh
fissura train runs/nano_stage1.yaml --out out/nano_stage1
fissura train runs/nano.yaml --out out/nano
runs/finish.sh nano
