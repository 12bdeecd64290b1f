#!/usr/bin/env bash
# Everything that made the shipped model 'accurate': a wide ladder, taught by the shipped 'fast'; the two joined, as a
# teacher of what 'fast' then learns of lines that are no crack; and that network and the ladder joined.
# Needs FISSURA_DATA (the folder that holds crack/) and fissura[dev] on PATH. Three hours on two quiet cores with AVX-512
# and bf16; the generated roads, once, half an hour.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${FISSURA_DATA:?set it to the folder that holds crack/}"

[ -d out/aerial/aerial_beside ] || runs/make_aerial.sh
fissura train runs/accurate_stage1.yaml --out out/accurate_stage1
python runs/add_views.py src/fissura/weights/fast.safetensors out/fast_views/fast_views.safetensors --name fast_views \
  --description "fast at half and full size" --magnifications 0.5 1 --looks 1
runs/teachers.sh out/fast_views/fast_views.safetensors out/accurate_stage1/accurate_stage1.safetensors
fissura train runs/accurate.yaml --out out/accurate_ladder
python runs/add_views.py out/accurate_ladder/accurate_ladder.safetensors out/ladder_views/ladder_views.safetensors \
  --name accurate_ladder --description "The ladder of accurate at half and full size" --magnifications 0.5 1 --looks 1
python runs/join.py src/fissura/weights/fast.safetensors out/ladder_views/ladder_views.safetensors \
  --out out/accurate_first/accurate_first.safetensors --name accurate_first --threshold 0.58 \
  --description "fast and the ladder of accurate: the mean of both."
runs/teachers.sh out/accurate_first/accurate_first.safetensors
fissura train runs/accurate_network.yaml --out out/accurate_network
python runs/join.py out/accurate_network/accurate_network.safetensors out/ladder_views/ladder_views.safetensors \
  --out out/accurate/accurate.safetensors --name accurate --version 0.2.0 --threshold 0.66 \
  --description "The network of fast, taught more of what is no crack, and a wide ladder that looks at half and at full size: the mean of both; for those who can wait."
runs/finish.sh accurate
