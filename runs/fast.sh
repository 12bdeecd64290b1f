#!/usr/bin/env bash
# Everything that made the shipped model 'fast', from the training sets to the figures in README and model card.
# Needs FISSURA_DATA (the folder that holds crack/) and fissura[dev] on PATH. The eight trainings took
# about 420 minutes on two CPU cores that were busy with other work as well.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${FISSURA_DATA:?set it to the folder that holds crack/}"

fissura train runs/fast_stage1.yaml --out out/fast_stage1 # each stage starts from the weights of the one before
fissura train runs/fast_stage2.yaml --out out/fast_stage2
fissura train runs/fast_stage3.yaml --out out/fast_stage3
fissura train runs/fast_stage4.yaml --out out/fast_stage4
fissura train runs/fast_stage5.yaml --out out/fast_stage5
[ -d out/aerial/aerial_beside ] || runs/make_aerial.sh
fissura train runs/fast_stage6.yaml --out out/fast_stage6
fissura train runs/fast_stage7.yaml --out out/fast_stage7
fissura train runs/fast.yaml --out out/fast
runs/finish.sh fast
python benchmarks/speed.py --data "$FISSURA_DATA/crack/deepcrack/test"
python benchmarks/speed_models.py
python benchmarks/large_image.py
