#!/usr/bin/env bash
# Everything that made the shipped model 'nano'. Needs FISSURA_DATA and fissura[dev] on PATH. Its teacher is the shipped
# 'fast'. 200 minutes on two cores without AVX-512, beside other work.
set -euo pipefail
cd "$(dirname "$0")/.."
fissura train runs/nano_stage1.yaml --out out/nano_stage1
fissura train runs/nano_stage2.yaml --out out/nano_stage2
fissura train runs/nano_stage3.yaml --out out/nano_stage3
fissura train runs/nano_stage4.yaml --out out/nano_stage4
fissura train runs/nano.yaml --out out/nano_trained
python runs/shift.py out/nano_trained/nano.safetensors out/nano/nano.safetensors --threshold 0.7 # runs/threshold.py
runs/finish.sh nano
