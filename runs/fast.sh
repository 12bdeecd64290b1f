#!/usr/bin/env bash
# Everything that made the shipped model 'fast', from the training sets to the figures in README and model card.
# Needs FISSURA_DATA (the folder that holds crack/) and fissura[dev] on PATH. The five trainings took
# about 220 minutes on two CPU cores that were busy with other work as well.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${FISSURA_DATA:?set it to the folder that holds crack/}"
crack=$FISSURA_DATA/crack
run=${1:-out/fast}
weights=src/fissura/weights

calibrate=() validate=() test=() negatives=()
for set in deepcrack cfd crack500 uavcrack_asphalt uavcrack_concrete uav_quay gaps384 volker negatives_noncrack; do
  calibrate+=(--calibrate "$crack/$set/train")
done
for set in crack500 uavcrack_asphalt uavcrack_concrete uav_quay gaps384; do validate+=(--validate "$crack/$set/val"); done
for set in deepcrack cfd crack500 uavcrack_asphalt gaps384; do test+=(--data "$crack/$set/test"); done
for set in negatives_noncrack negatives_metu_concrete; do negatives+=(--data "$crack/$set/test"); done

fissura train runs/fast_stage1.yaml --out out/fast_stage1 # each stage starts from the weights of the one before
fissura train runs/fast_stage2.yaml --out out/fast_stage2
fissura train runs/fast_stage3.yaml --out out/fast_stage3
fissura train runs/fast_stage4.yaml --out out/fast_stage4
fissura train runs/fast.yaml --out "$run"
fissura export "$run/fast.safetensors" --out "$weights/fast.onnx" --int8 "${calibrate[@]}" "${validate[@]}"
for precision in int8 fp32; do
  fissura evaluate "${test[@]}" --precision $precision --out "$run/test_$precision"
  fissura evaluate "${negatives[@]}" --precision $precision --out "$run/negatives_$precision"
done
python benchmarks/speed.py --data "$crack/deepcrack/test"
python benchmarks/large_image.py
python runs/publish.py fast "$run"
