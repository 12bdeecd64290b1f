"""Crack masks given by the user: one file for one picture, or a folder searched by the pictures' names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from fissura.data.pairs import IMAGE_SUFFIXES
from fissura.errors import ImageError, SettingsError
from fissura.imaging.find import SourceImage, plan_names


class MaskFolder:
    """Mask of each picture: one file for one picture, or a folder searched by relative path and then by stem.

    Masks that ``fissura segment`` made of the same pictures are found, however it had to name them.

    What lies where the mask of another picture belongs is that picture's alone.

    Args:
        path: File or folder.
        images: The pictures.
    Raises:
        SettingsError: Nothing is there, or one file is given for several pictures.
    """

    def __init__(self, path: Path, images: Sequence[SourceImage]) -> None:
        if not path.exists():
            raise SettingsError(f"--mask {path} does not exist; give a mask picture, or a folder of them")
        if path.is_file() and len(images) > 1:
            raise SettingsError(
                f"--mask {path} is one file and there are {len(images)} pictures; give a folder of masks with the "
                "pictures' names"
            )
        self.path = path
        # 'fissura segment' names masks a.jpg.png and a.png.png where both a.jpg and a.png are there, and puts those of
        # two folders into folders of their names.
        self._planned = {path: PurePosixPath(name) for path, name in plan_names(images, {}).items()}
        self._places = {place for image in images for place in self._belongs(image)}
        self._by_stem: dict[str, list[Path]] = {}
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.suffix.lower() in IMAGE_SUFFIXES:
                    self._by_stem.setdefault(file.stem, []).append(file)
            if not self._by_stem:
                raise SettingsError(f"--mask {path} holds no mask; give a folder of pictures, one for each input")

    def find(self, image: SourceImage) -> Path:
        """Raises ImageError if there is none, or more than one that could be meant."""
        if self.path.is_file():
            return self.path
        for wanted in self._belongs(image):
            found = self._by_stem.get(wanted.name, [])
            alike = [file for file in found if self._place(file) == wanted]
            chosen = alike or [file for file in found if self._place(file) not in self._places]
            if len(chosen) == 1:
                return chosen[0]
            if chosen:
                names = ", ".join(str(file.relative_to(self.path)) for file in chosen[:3])
                raise ImageError(
                    f"{len(chosen)} masks in {self.path} could be meant ({names}); keep one for each picture, "
                    "in folders like the pictures'"
                )
        raise ImageError(f"no mask called {image.path.stem} in {self.path}")

    def _place(self, file: Path) -> PurePosixPath:
        return PurePosixPath(file.relative_to(self.path).with_suffix("").as_posix())

    def _belongs(self, image: SourceImage) -> tuple[PurePosixPath, ...]:
        """Where in the folder the mask of a picture belongs: ``a.jpg.png``, ``a.png``, both without their suffix."""
        planned = self._planned.get(image.path, image.relative)
        return planned, image.relative, image.relative.with_suffix("")
