#!/usr/bin/env bash
# The teachers of the last stage of accurate's ladder, as graphs that an engine runs, int8 where that is faster:
#   runs/teachers.sh FIRST_STAGE.safetensors
# makes FIRST_STAGE.onnx beside it, and out/fast_views/fast_views.onnx, which is fast at half and full size.
# Needs FISSURA_DATA and fissura[dev] on PATH. A minute.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${FISSURA_DATA:?set it to the folder that holds crack/}"
first=$1 views=out/fast_views/fast_views.safetensors
python runs/add_views.py src/fissura/weights/fast.safetensors "$views" --name fast_views \
  --description "fast at half and full size" --magnifications 0.5 1 --looks 1
calibrate=() validate=()
for set in deepcrack cfd crack500 uavcrack_asphalt uavcrack_concrete uav_quay gaps384 volker negatives_noncrack; do
  calibrate+=(--calibrate "$FISSURA_DATA/crack/$set/train")
done
for set in crack500 uavcrack_asphalt uavcrack_concrete uav_quay gaps384; do
  validate+=(--validate "$FISSURA_DATA/crack/$set/val")
done
for weights in "$views" "$first"; do
  fissura export "$weights" --out "${weights%.safetensors}.onnx" --int8 "${calibrate[@]}" "${validate[@]}" --validate-limit 2
done
