"""Pictures that leave the showcase say in their metadata how they were made, and nothing about the photo before.

    data = encode(picture, "JPEG", look="classic")      the bytes of a JPEG, PNG or WebP file

The sentence stands in EXIF (JPEG, WebP) or text chunks (PNG), and in XMP together with IPTC's DigitalSourceType
(https://cv.iptc.org/newscodes/digitalsourcetype/). Nothing of the photo's own metadata comes along.
"""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from ..errors import printable
from ..images import encode_photo

SOFTWARE = "DragFace"
QUALITY = 95  # of JPEG and WebP
XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmp:CreatorTool="DragFace"
 Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia">
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{sentence}</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def sentence(look: str) -> str:
    """The note on a picture's origin; look: the generator's, any text (of one line, at most 100 characters of it)."""
    return f"Made with DragFace, look {printable(look, 100) or 'drag'}: not a photograph."


def encode(image: np.ndarray, format: str, look: str, quality: int = QUALITY) -> bytes:
    """Encode (height, width, 3) uint8 RGB as "JPEG", "PNG" or "WEBP" bytes that say how the picture was made.

    Raises DragFaceError for a size that the format cannot hold.
    """
    return encode_photo(image, format, quality, metadata(format, look))


def metadata(format: str, look: str) -> dict[str, Any]:
    """The arguments of Pillow's `save` that write the note into a picture of this format."""
    text = sentence(look)
    if format == "GIF":
        return {"comment": text}
    xmp = XMP.format(sentence=escape(text))
    if format == "PNG":
        chunks = PngImagePlugin.PngInfo()
        for name, value in (("Description", text), ("Software", SOFTWARE), ("XML:com.adobe.xmp", xmp)):
            chunks.add_itxt(name, value)
        return {"pnginfo": chunks}
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription], exif[ExifTags.Base.Software] = text, SOFTWARE
    return {"exif": exif, "xmp": xmp.encode()}
