"""The public list, and the promise that inspecting never needs torch."""

import subprocess
import sys

import fissura

BLOCK_TORCH = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('torch', 'lightning', 'onnx', 'nncf', 'safetensors'):
            raise ImportError('blocked: ' + name)
sys.meta_path.insert(0, Block())
"""


def _python(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )


def test_public_names():
    assert fissura.__all__ == [
        "Crack", "CrackMask", "FissuraError", "GroundScale", "ModelCard", "RoadSlices", "Segmenter", "evaluate",
        "find_road", "load_segmenter", "measure_cracks", "open_video", "read_image",
    ]  # fmt: skip
    assert all(getattr(fissura, name) is not None for name in fissura.__all__)


def test_help_and_import_load_nothing_heavy():
    code = "import sys, fissura.cli.app; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = _python(code).stdout
    assert "'fissura'" in loaded
    heavies = "numpy cv2 openvino torch rasterio pydantic skimage PIL matplotlib scipy av"
    for heavy in heavies.split():
        assert f"'{heavy}'" not in loaded


def test_segments_measures_and_evaluates_without_torch(tmp_path):
    """A fresh interpreter in which torch and all of the training extra cannot be imported."""
    code = BLOCK_TORCH + """
from pathlib import Path
import numpy as np
from PIL import Image
from fissura.cli.app import main
from fissura.synth.crops import render_training_crop
out = Path(sys.argv[1])
for folder in ('images', 'masks'):
    (out / 'set' / folder).mkdir(parents=True)
rgb, mask = render_training_crop(np.random.default_rng(5), 256, crack_probability=1.0)
Image.fromarray(rgb).save(out / 'set' / 'images' / 'a.png')
Image.fromarray(mask).save(out / 'set' / 'masks' / 'a.png')
for arguments in (['segment', out / 'set' / 'images', '--out', out / 'found', '--quiet'],
                  ['measure', out / 'set' / 'images', '--gsd-mm', '1', '--out', out / 'measured', '--quiet'],
                  ['evaluate', '--model', 'fast', '--data', out / 'set', '--out', out / 'figures', '--quiet']):
    sys.argv = ['fissura', *map(str, arguments)]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, stop.code
assert Image.open(out / 'found' / 'masks' / 'a.png').size == (256, 256)
assert (out / 'measured' / 'cracks.csv').is_file()
assert 'torch' not in sys.modules
print('fine')
"""
    done = _python(code, tmp_path)
    assert done.stdout.strip().endswith("fine"), done.stderr
