#!/usr/bin/env bash
# Teachers as graphs that an engine runs, int8 where that is faster:
#   runs/teachers.sh WEIGHTS.safetensors ...
# makes WEIGHTS.onnx beside each. Needs FISSURA_DATA and fissura[dev] on PATH. Half a minute each.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${FISSURA_DATA:?set it to the folder that holds crack/}"
: "${1:?give the weights of one teacher or more, WEIGHTS.safetensors ...}"
calibrate=() validate=()
for set in deepcrack cfd crack500 uavcrack_asphalt uavcrack_concrete uav_quay gaps384 volker negatives_noncrack; do
  calibrate+=(--calibrate "$FISSURA_DATA/crack/$set/train")
done
for set in crack500 uavcrack_asphalt uavcrack_concrete uav_quay gaps384; do
  validate+=(--validate "$FISSURA_DATA/crack/$set/val")
done
for weights in "$@"; do
  fissura export "$weights" --out "${weights%.safetensors}.onnx" --int8 "${calibrate[@]}" "${validate[@]}" --validate-limit 2
done
