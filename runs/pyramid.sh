#!/usr/bin/env bash
# Everything that made the model 'pyramid', which is not shipped, from 'fast' on. Needs FISSURA_DATA and fissura[dev] on PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -d out/aerial ] || runs/make_aerial.sh
fissura train runs/pyramid.yaml --out out/pyramid
# Five times the work of fast: the gate sees a few images of each set, and the figures are those of int8.
PRECISIONS=int8 VALIDATE_LIMIT=8 runs/finish.sh pyramid
