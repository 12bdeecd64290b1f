#!/usr/bin/env bash
# From trained weights to a shipped model: export, int8 and its gate, confidence curve, figures, card.
#   runs/finish.sh NAME [WEIGHTS.safetensors]
#   PRECISIONS=int8 VALIDATE_LIMIT=12 runs/finish.sh NAME        for a slow network: fewer figures, a smaller gate
# Needs FISSURA_DATA (the folder that holds crack/) and fissura[dev] on PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${FISSURA_DATA:?set it to the folder that holds crack/}"
name=$1 run=out/$1 trained=${2:-out/$1/$1.safetensors}
crack=$FISSURA_DATA/crack
weights=src/fissura/weights

calibrate=() validate=() test=() negatives=()
uses() { grep -q "folder: $1" "runs/$name.yaml"; } # calibrated on nothing that it was not trained on
for set in deepcrack cfd crack500 uavcrack_asphalt uavcrack_concrete uav_quay gaps384 volker negatives_noncrack; do
  if uses "$set/train"; then calibrate+=(--calibrate "$crack/$set/train"); fi
done
for set in crack500 uavcrack_asphalt uavcrack_concrete uav_quay gaps384; do
  if uses "$set/train"; then validate+=(--validate "$crack/$set/val"); fi
done
for set in deepcrack cfd crack500 uavcrack_asphalt gaps384; do test+=(--data "$crack/$set/test"); done
for set in negatives_noncrack negatives_metu_concrete; do negatives+=(--data "$crack/$set/test"); done

fissura export "$trained" --out "$weights/$name.onnx" --int8 "${calibrate[@]}" "${validate[@]}" \
  ${VALIDATE_LIMIT:+--validate-limit "$VALIDATE_LIMIT"}
python runs/confidence.py "$name" --write
for precision in ${PRECISIONS:-int8 fp32}; do
  fissura evaluate "${test[@]}" --model "$name" --precision $precision --out "$run/test_$precision"
  fissura evaluate "${negatives[@]}" --model "$name" --precision $precision --out "$run/negatives_$precision"
done
python runs/publish.py "$name" "$run"
