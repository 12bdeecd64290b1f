"""Which photo a pose of a photogrammetric project belongs to."""

import pytest

from fissura.geo.metadata import PhotoMetadata
from fissura.geo.odm import AlignedPhoto
from fissura.survey.photo_pose import share_alignment

NEAR, FAR = 48.00002, 48.01


def photo(name, latitude_deg):
    """A photo with a place; without a latitude it has none."""
    longitude = None if latitude_deg is None else 11.0
    return name, PhotoMetadata((240, 320), latitude_deg=latitude_deg, longitude_deg=longitude)


def alignment(*names, latitude_deg=48.0):
    return {name: AlignedPhoto(name, latitude_deg, 11.0) for name in names}


@pytest.mark.parametrize(("latitudes_deg", "owner"), [
    ((NEAR, FAR), 0), ((FAR, NEAR), 1), ((None, NEAR), 1), ((FAR, FAR), None), ((None, None), None),
])  # fmt: skip
def test_of_photos_of_one_name_the_nearest_has_the_pose(latitudes_deg, owner):
    given, notes = share_alignment([photo("a.jpg", latitude) for latitude in latitudes_deg], alignment("a.jpg"))
    assert [k for k, aligned in enumerate(given) if aligned is not None] == ([] if owner is None else [owner])
    assert all(("another photo of that name" in note) == (k != owner) for k, note in enumerate(notes))


def test_a_pose_far_from_its_photo_is_refused_where_others_agree():
    photos = [photo("a.jpg", NEAR), photo("b.jpg", FAR), photo("c.jpg", None), photo("d.jpg", FAR)]
    given, notes = share_alignment(photos, alignment("a.jpg", "b.jpg", "c.jpg"))
    assert [aligned is not None for aligned in given] == [True, False, True, False]
    assert not notes[0] and "1112 m from its own" in notes[1] and not notes[2] and not notes[3]


def test_an_alignment_that_lies_elsewhere_is_believed_and_said():
    photos = [photo(name, FAR) for name in ("a.jpg", "b.jpg")]
    given, notes = share_alignment(photos, alignment("a.jpg", "b.jpg"))
    assert None not in given and all("m from its own" in note for note in notes)
