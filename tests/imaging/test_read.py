import struct
import tracemalloc
import zlib
from contextlib import ExitStack

import numpy as np
import pytest
from PIL import Image

from fissura.errors import ImageError
from fissura.imaging.deep import estimate_stretch, show_deep, stretch_note, stretch_to_uint8
from fissura.imaging.read import _pixel_limit, read_image, read_mask, read_pages, read_size_hw


def difference(rgb, other):
    return np.abs(rgb.astype(int) - other.astype(int)).mean()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(make_data, tmp_path, orientation):
    image = read_image(make_data.rotated_jpeg(tmp_path / "a.jpg", orientation))
    assert image.rgb.shape == (*make_data.HW, 3)
    assert difference(image.rgb, make_data.picture()) < 4


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("deep", [False, True])
def test_tiff_orientation_is_applied_once(tmp_path, orientation, deep):
    stored = np.arange(6, dtype=np.uint16 if deep else np.uint8).reshape(2, 3) * 40
    path = tmp_path / "a.tif"
    Image.fromarray(stored).save(path, tiffinfo={274: orientation})
    shown = np.rot90(stored, {3: 2, 6: 3}[orientation])
    rgb = read_image(path).rgb[..., 0]
    assert rgb.shape == shown.shape
    assert (np.argsort(rgb, axis=None) == np.argsort(shown, axis=None)).all()


def test_grey_and_palette_and_cmyk_look_like_the_picture(make_data, tmp_path):
    picture = make_data.picture()
    grey = read_image(make_data.grey_png(tmp_path / "g.png"))
    assert grey.valid is None
    assert (grey.rgb[..., 0] == grey.rgb[..., 2]).all()
    assert difference(grey.rgb, picture.mean(axis=2, keepdims=True)) < 6
    assert difference(read_image(make_data.palette_png(tmp_path / "p.png")).rgb, picture) < 8
    assert difference(read_image(make_data.cmyk_jpeg(tmp_path / "c.jpg")).rgb, picture) < 8


@pytest.mark.parametrize("full_range", [True, False])
def test_16_bit_grey_is_stretched_and_says_so(make_data, tmp_path, full_range):
    image = read_image(make_data.grey_16bit_png(tmp_path / "a.png", full_range=full_range))
    low, high = np.percentile(image.rgb, [1, 99])
    assert low < 20
    assert high > 235
    assert "stretched to 0 to 255" in image.notes[0]


def test_16_bit_colour_keeps_its_low_bytes(tmp_path, make_data):
    # 12-bit values in 16 bits: reading the high byte alone would leave 16 steps.
    import cv2

    values = make_data.picture().astype(np.uint16) * np.uint16(16)
    path = tmp_path / "a.png"
    path.write_bytes(cv2.imencode(".png", values[..., ::-1])[1].tobytes())
    rgb = read_image(path).rgb
    assert len(np.unique(rgb)) > 100
    spread = rgb.astype(float).reshape(-1, 3), values.astype(float).reshape(-1, 3)
    assert np.corrcoef(spread[0][:, 0], spread[1][:, 0])[0, 1] > 0.97


def test_16_bit_colour_of_other_formats_keeps_its_low_bytes(tmp_path, make_data):
    import cv2

    values = make_data.picture().astype(np.uint16) * np.uint16(16)
    (tmp_path / "a.ppm").write_bytes(b"P6\n# by a camera\n128 96\n4095\n" + values.astype(">u2").tobytes())
    (tmp_path / "a.jp2").write_bytes(cv2.imencode(".jp2", values[..., ::-1])[1].tobytes())
    for name in ("a.ppm", "a.jp2"):
        image = read_image(tmp_path / name)
        assert "uint16" in image.notes[0]
        assert len(np.unique(image.rgb)) > 100
        assert np.corrcoef(image.rgb[..., 0].ravel(), values[..., 0].ravel())[0, 1] > 0.97
    assert read_image(save(tmp_path / "b.ppm", make_data.picture())).notes == ()
    assert read_image(save(tmp_path / "b.jp2", make_data.picture())).notes == ()


def save(path, array):
    Image.fromarray(array).save(path)
    return path


def deep_tiff(path, bands, photometric):
    import rasterio

    size = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2]}
    with rasterio.open(path, "w", driver="GTiff", dtype="uint16", photometric=photometric, **size) as dataset:
        dataset.write(bands)
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_16_bit_tiffs_of_inks_and_of_negatives(tmp_path):
    black = np.full((8, 8), 20_000, np.uint16)
    black[:, 4] = 60_000
    inks = np.zeros((4, 8, 8), np.uint16)
    inks[3] = black
    for image in (
        read_image(deep_tiff(tmp_path / "inks.tif", inks, "cmyk")),
        read_image(deep_tiff(tmp_path / "negative.tif", black[None], "miniswhite")),
    ):
        assert image.valid is None
        assert (image.rgb[0, 4], image.rgb[0, 0]) == (pytest.approx(0, abs=9), pytest.approx(255, abs=9))


def gdal_tiff(path, bands, **options):
    import rasterio

    size = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype}
    with rasterio.open(path, "w", driver="GTiff", **size, **options) as dataset:
        dataset.write(bands)
    return path


PLAIN = {
    "three bands": (np.uint16, 3, {"photometric": "minisblack"}),
    "near infrared": (np.uint16, 4, {"photometric": "rgb"}),
    "four bands": (np.uint16, 4, {"photometric": "minisblack"}), "five bands": (np.uint16, 5, {"photometric": "rgb"}),
    "five of 8 bits": (np.uint8, 5, {"photometric": "minisblack"}), "signed": (np.int16, 3, {"photometric": "rgb"}),
    "float colour": (np.float32, 3, {"photometric": "rgb"}), "double grey": (np.float64, 1, {}),
    "LERC": (np.float32, 1, {"compress": "lerc"}), "BigTIFF": (np.float64, 1, {"BIGTIFF": "YES"}),
    "big-endian": (np.float64, 1, {"ENDIANNESS": "BIG"}),
    "both": (np.float64, 1, {"ENDIANNESS": "BIG", "BIGTIFF": "YES"}),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("kind", PLAIN)
def test_tiffs_of_values_that_pillow_does_not_know(tmp_path, make_data, kind):
    dtype, count, options = PLAIN[kind]
    picture = np.moveaxis(make_data.picture(), 2, 0)
    bands = np.concatenate([picture, picture[:2] // 2])[:count].astype(dtype)
    path = gdal_tiff(tmp_path / "a.tif", bands if dtype == np.uint8 else bands * 100, **options)
    (image,) = read_pages(path)
    assert image.valid is None
    colour = 3 if count >= 3 else 1
    for channel in range(3):
        shown, stored = image.rgb[..., channel].ravel(), bands[channel % colour].ravel()
        assert np.corrcoef(shown, stored)[0, 1] > 0.98
    assert any(f"{count - colour} extra band" in note for note in image.notes) == (count > colour)
    assert (read_mask(path) == bands[:colour].any(axis=0)).all()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_alpha_pages_and_turns_of_tiffs_that_pillow_does_not_know(tmp_path):
    bands = np.full((2, 4, 6), 700, np.uint16)
    bands[1, :, :2] = 0
    image = read_image(gdal_tiff(tmp_path / "alpha.tif", bands, photometric="minisblack", alpha="yes"))
    assert (image.valid == (np.arange(6) >= 2)).all()
    # Of a photometric kind that nobody knows, so that Pillow refuses it: two pages, turned.
    pages = [Image.fromarray(np.arange(6, dtype=np.float32).reshape(2, 3) + page) for page in range(2)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:], tiffinfo={274: 6})
    data = (tmp_path / "pages.tif").read_bytes()
    unsure = data.replace(struct.pack("<HHL", 262, 3, 1) + b"\1\0", struct.pack("<HHL", 262, 3, 1) + b"\x0f\x27")
    (tmp_path / "pages.tif").write_bytes(unsure)
    found = list(read_pages(tmp_path / "pages.tif"))
    assert [(page.page, page.pages, page.rgb.shape) for page in found] == [(0, 2, (3, 2, 3)), (1, 2, (3, 2, 3))]
    assert (np.argsort(found[1].rgb[..., 0], axis=None) == np.argsort(np.rot90(pages[1], 3), axis=None)).all()


def test_a_tif_that_nobody_knows(tmp_path):
    for data in (bytes(range(128, 256)), b"II*\0" + bytes(60)):
        (tmp_path / "a.tif").write_bytes(data)
        for reader in (read_image, read_mask):
            with pytest.raises(ImageError, match=r"a\.tif is no image that can be read \(unknown contents\)"):
                reader(tmp_path / "a.tif")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(("dtype", "nodata"), [("float32", -9999.0), ("uint8", 255), ("float64", -1.0), ("int16", 7)])
def test_nodata_is_outside_of_a_mask(tmp_path, dtype, nodata):
    values = np.zeros((1, 4, 6), dtype)
    values[0, :, :2], values[0, :, 2:4] = 1, nodata
    assert (read_mask(gdal_tiff(tmp_path / "a.tif", values, nodata=nodata)) == (np.arange(6) < 2)).all()


def test_nodata_of_a_turned_mask(tmp_path):
    values = np.zeros((2, 3), np.uint8)
    values[0, :], values[1, 0] = 255, 9
    Image.fromarray(values).save(tmp_path / "a.tif", tiffinfo={274: 6, 42113: "255"})
    assert (read_mask(tmp_path / "a.tif") == np.rot90(values == 9, 3)).all()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_the_memory_that_deep_pictures_take(tmp_path, suffix):
    import cv2

    side, rng = 1500, np.random.default_rng(0)
    values = rng.integers(0, 4000, (side, side, 3), np.uint16)
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        gdal_tiff(path, np.moveaxis(values, 2, 0), photometric="rgb")
    else:
        path.write_bytes(cv2.imencode(".png", values, [cv2.IMWRITE_PNG_COMPRESSION, 0])[1].tobytes())
    del values
    read_image(path)
    tracemalloc.start()
    image = read_image(path)
    peak = tracemalloc.get_traced_memory()[1] / side**2
    tracemalloc.stop()
    assert image.rgb.shape == (side, side, 3)
    assert peak < 25  # of which 6 as stored and 3 as shown


def test_large_pictures_are_stretched_as_their_sample_says(monkeypatch, make_data):
    values = make_data.picture().astype(np.float32) * 16
    valid = np.ones(values.shape[:2], bool)
    whole, _, (note,) = show_deep(values, valid)
    assert note == stretch_note("float32", *estimate_stretch(values))
    monkeypatch.setattr("fissura.imaging.deep._STRIP_PIXELS", 1000)
    assert (show_deep(values, None)[0] == whole).all()
    monkeypatch.setattr("fissura.imaging.deep._SAMPLE_PIXELS", 1500)
    sampled = stretch_to_uint8(values, *estimate_stretch(values[::3, ::3]))
    for given in (None, valid):
        assert (show_deep(values, given)[0] == sampled).all()
    # The only valid pixel lies between those of the sample.
    valid[:] = False
    valid[1, 1] = True
    assert show_deep(values[..., :1], valid)[2] == (stretch_note("float32", values[1, 1, 0], values[1, 1, 0]),)


@pytest.mark.parametrize(("channels", "colour_type"), [(1, 0), (3, 2)])
def test_the_transparent_colour_of_a_16_bit_png(tmp_path, channels, colour_type):
    values = np.full((4, 6, channels), 5000, ">u2")
    values[:, :2] = 7
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 6, 4, 16, colour_type, 0, 0, 0)), (b"tRNS", struct.pack(">H", 7) * channels),
        (b"IDAT", zlib.compress(rows)), (b"IEND", b""),
    ]  # fmt: skip
    data = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    image = read_image(tmp_path / "a.png")
    assert (image.valid == (np.arange(6) >= 2)).all()
    assert "5000 to 5000" in image.notes[0]


def test_an_orientation_that_is_no_number_says_nothing(tmp_path):
    tag = struct.pack("<HHI4s", 274, 2, 4, b"top\0")
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + tag + bytes(4)
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").rgb.shape == (4, 6, 3)


def test_masks_are_read_as_stored(tmp_path):
    labels = np.zeros((100, 100), np.uint16)
    labels[:, :50], labels[:, 50:55] = 1, 3000
    assert (read_mask(save(tmp_path / "a.png", labels)) == (labels > 0)).all()
    few = np.zeros((100, 100), np.uint16)
    few[:3, :3] = 65535
    assert read_mask(save(tmp_path / "b.tif", few)).sum() == 9
    clear = np.full((4, 6, 4), 255, np.uint8)
    clear[:, 2:, 3] = 0
    assert (read_mask(save(tmp_path / "c.png", clear)) == (np.arange(6) < 2)).all()


def test_transparent_pixels_are_invalid(make_data, tmp_path):
    image = read_image(make_data.rgba_png(tmp_path / "a.png"))
    expected = np.ones(make_data.HW, bool)
    expected[:, : make_data.HW[1] // 4] = False
    assert (image.valid == expected).all()
    opaque = tmp_path / "o.png"
    Image.new("RGBA", (5, 4), (1, 2, 3, 255)).save(opaque)
    assert read_image(opaque).valid is None


def test_grey_with_alpha_and_transparent_palette(tmp_path):
    grey_alpha = Image.new("LA", (3, 2), (90, 255))
    grey_alpha.putpixel((1, 0), (90, 0))
    grey_alpha.save(tmp_path / "la.png")
    assert (~read_image(tmp_path / "la.png").valid).sum() == 1
    palette = Image.new("P", (3, 2), 1)
    palette.putpalette([0, 0, 0, 200, 10, 20])
    palette.putpixel((2, 1), 0)
    palette.save(tmp_path / "p.png", transparency=0)
    image = read_image(tmp_path / "p.png")
    assert (image.rgb[0, 0] == [200, 10, 20]).all()
    assert not image.valid[1, 2]
    assert image.valid.sum() == 5


def test_pages_of_a_tiff(make_data, tmp_path):
    pages = list(read_pages(make_data.multipage_tiff(tmp_path / "a.tif")))
    assert [(page.page, page.pages, page.rgb.shape[0]) for page in pages] == [(i, 3, 96 + 8 * i) for i in range(3)]
    assert difference(pages[2].rgb, make_data.picture(2, (112, 128))) == 0


def test_only_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("L", (4, 4), 255 * i) for i in range(2)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    image = read_image(tmp_path / "a.gif")
    assert image.notes == ("only the first of 2 frames is used",)


def test_heic(make_data, tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    Image.fromarray(make_data.picture()).save(tmp_path / "a.heic", quality=90)
    assert difference(read_image(tmp_path / "a.heic").rgb, make_data.picture()) < 8


def test_non_ascii_path(make_data, tmp_path):
    assert read_image(make_data.rgb_png(tmp_path / "Brücke 橋" / "Riß №1.png")).rgb.shape == (*make_data.HW, 3)


@pytest.mark.parametrize(
    ("maker", "words"),
    [("empty_file", "is empty (0 bytes)"), ("text_as_image", "begins like text"), ("truncated_jpeg", "ends too early")],
)
def test_files_that_are_no_whole_image(make_data, tmp_path, maker, words):
    path = getattr(make_data, maker)(tmp_path / "broken.jpg")
    with pytest.raises(ImageError, match=r"broken\.jpg") as caught:
        read_image(path)
    assert words in str(caught.value)


def test_a_truncated_16_bit_png_is_an_error(make_data, tmp_path):
    path = make_data.rgb_16bit_png(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(ImageError, match="ends too early"):
        read_image(path)


def test_missing_file_folder_and_video(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    for path, words in [(tmp_path / "no.png", "does not exist"), (tmp_path, "folder"), (tmp_path / "a.mp4", "video")]:
        with pytest.raises(ImageError, match=words):
            read_image(path)


def test_the_pixel_limit_is_ours_and_pillow_keeps_its_own(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.new("L", (50, 40)).save(path)
    before = Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr("fissura.imaging.read.MAX_PIXELS", 1999)
    with pytest.raises(ImageError, match=r"50x40 pixels.*GeoTIFF"):
        read_image(path)
    monkeypatch.setattr("fissura.imaging.read.MAX_PIXELS", 2000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert read_image(path).rgb.shape == (40, 50, 3)
    assert read_size_hw(path) == (40, 50)
    assert Image.MAX_IMAGE_PIXELS == 10
    assert before != 10


def test_a_thread_that_ends_first_leaves_the_others_their_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    first, second = ExitStack(), ExitStack()
    first.enter_context(_pixel_limit)
    second.enter_context(_pixel_limit)
    first.close()
    assert Image.MAX_IMAGE_PIXELS is None
    second.close()
    assert Image.MAX_IMAGE_PIXELS == 10


def test_a_path_may_be_a_string(tmp_path):
    Image.new("RGB", (6, 4), (9, 8, 7)).save(tmp_path / "a.png")
    assert read_image(str(tmp_path / "a.png")).rgb.shape == (4, 6, 3)
    with pytest.raises(ImageError, match=r"b\.png"):
        read_image(str(tmp_path / "b.png"))
