"""The program that `newsletter.campaigns.images` runs on one image that somebody uploaded: it may be anything.

It imports nothing of ours and holds itself to limits of memory and time before it looks at a byte, so that the worst image ends
this process alone. Input: the file. Output: one line of JSON, and the image anew, without metadata. What cannot be done is said
by the exit status.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import resource
import sys
import warnings

from PIL import (
    GifImagePlugin,
    Image,
    ImageCms,
    ImageOps,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

MOST_PIXELS = 40_000_000
"""Of what comes in: a camera's picture has 12 to 24 million."""
MOST_MEMORY = 1_500_000_000
"""Octets of address space, which a library maps more of than it uses."""
MOST_SECONDS = 20
"""Of the processor."""
WIDEST, HIGHEST = 1200, 4800
MOST_PNG = 1_000_000
"""A photograph as PNG is several times as large: above this, one without transparency becomes a JPEG."""
NO_IMAGE, TOO_MANY_PIXELS = 3, 4
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
_LOADED = (copy, GifImagePlugin, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin)
"""What Pillow would import when it needs it: no file can be opened any more by then. TIFF is how Exif is written."""


def limit() -> None:
    """From here on this process can get no more than that."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))  # Nothing is opened any more: not even what /proc tells.


def remade(source: bytes) -> tuple[str, Image.Image, bytes]:
    """Kind, image and octets: upright, in sRGB, small enough for a letter, its first frame alone."""
    image: Image.Image = Image.open(io.BytesIO(source), formats=_FORMATS)
    if image.width * image.height > MOST_PIXELS:
        sys.exit(TOO_MANY_PIXELS)
    was = image.format
    image.draft("RGB", (2 * WIDEST, 2 * HIGHEST))  # A JPEG is then read at a fraction of its size.
    image.seek(0)
    image.load()
    image = _in_srgb(ImageOps.exif_transpose(image))
    image.thumbnail((WIDEST, HIGHEST), Image.Resampling.LANCZOS)
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")
    if image.mode == "RGBA" or was in ("PNG", "GIF"):
        png = _written(image, "PNG", optimize=True)
        if image.mode == "RGBA" or len(png) <= MOST_PNG:
            return "png", image, png
    return "jpg", image, _written(image, "JPEG", quality=82, optimize=True, progressive=True)


def _in_srgb(image: Image.Image) -> Image.Image:
    """RGB or RGBA. The colour profile goes with the other metadata, so its colours are worked out first."""
    transparent = "A" in image.getbands() or "transparency" in image.info
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "CMYK"):
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            found = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            image = ImageCms.profileToProfile(image, found, ImageCms.createProfile("sRGB"), outputMode="RGB") or image
    return image.convert("RGBA" if transparent else "RGB")


def _written(image: Image.Image, kind: str, **options: object) -> bytes:
    bare = Image.new(image.mode, image.size)  # Nothing of the old one but its pixels.
    bare.paste(image)
    out = io.BytesIO()
    bare.save(out, kind, **options)
    return out.getvalue()


def main() -> None:
    Image.preinit()
    limit()
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    try:
        kind, image, content = remade(sys.stdin.buffer.read())
    except Image.DecompressionBombError:
        sys.exit(TOO_MANY_PIXELS)
    except Exception:  # noqa: BLE001 -- Pillow raises nearly anything on what is no image
        sys.exit(NO_IMAGE)
    head = json.dumps({"kind": kind, "width": image.width, "height": image.height})
    sys.stdout.buffer.write(head.encode() + b"\n" + content)


if __name__ == "__main__":
    main()
