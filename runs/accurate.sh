#!/usr/bin/env bash
# Everything that made the shipped model 'accurate', from 'fast' on. Needs FISSURA_DATA and fissura[dev] on PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -d out/aerial ] || runs/make_aerial.sh
fissura train runs/accurate.yaml --out out/accurate
runs/finish.sh accurate
