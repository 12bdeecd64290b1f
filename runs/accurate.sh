#!/usr/bin/env bash
# Everything that made the shipped model 'accurate': a wide ladder, taught by the shipped 'fast', and the two joined.
# Needs FISSURA_DATA (the folder that holds crack/) and fissura[dev] on PATH. Two hours on two quiet cores with AVX-512
# and bf16; the generated roads, once, half an hour.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${FISSURA_DATA:?set it to the folder that holds crack/}"

[ -d out/aerial/aerial_beside ] || runs/make_aerial.sh
fissura train runs/accurate_stage1.yaml --out out/accurate_stage1
runs/teachers.sh out/accurate_stage1/accurate_stage1.safetensors
fissura train runs/accurate.yaml --out out/accurate_ladder
python runs/add_views.py out/accurate_ladder/accurate_ladder.safetensors out/ladder_views/ladder_views.safetensors \
  --name accurate_ladder --description "The ladder of accurate at half and full size" --magnifications 0.5 1 --looks 1
python runs/join.py src/fissura/weights/fast.safetensors out/ladder_views/ladder_views.safetensors \
  --out out/accurate/accurate.safetensors --name accurate --threshold 0.58 \
  --description "The network of fast, and a wide ladder that looks at half and at full size: the mean of both; for those who can wait."
runs/finish.sh accurate
