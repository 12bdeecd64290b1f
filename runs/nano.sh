#!/usr/bin/env bash
# Everything that made the shipped model 'nano'. Needs FISSURA_DATA and fissura[dev] on PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -d out/aerial/aerial ] || runs/make_aerial.sh
fissura train runs/nano_stage1.yaml --out out/nano_stage1
fissura train runs/nano.yaml --out out/nano
runs/finish.sh nano
