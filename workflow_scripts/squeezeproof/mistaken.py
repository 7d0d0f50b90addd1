"""What a file is that is not what its name says: a page, a pointer, an archive, another format."""

# First bytes -> what they are the beginning of, and what to do.
BEGINNINGS = {
    b"version https://git-lfs": "is a pointer of Git LFS in the place of the file; `git lfs pull` fetches the file",
    b"\x1f\x8b": "is packed by gzip; unpack it",
    b"\xfd7zXZ": "is packed by xz; unpack it",
    b"BZh": "is packed by bzip2; unpack it",
    b"\x28\xb5\x2f\xfd": "is packed by zstd; unpack it",
    b"7z\xbc\xaf": "is an archive of 7-Zip; unpack it, and name the file in it",
    b"\x89HDF": "is an HDF5 file, as Keras writes them; convert the model to .tflite or .onnx",
}
PAGES = b"<!doctype", b"<html", b"<?xml"
# Formats of models: ending -> (place of the first byte, bytes) that its files have.
FORMATS = {".tflite": (4, b"TFL3"), ".onnx": (2, b"\x12"), ".safetensors": (8, b'{"')}
ONNX = b"\x08"
TAR = 257, b"ustar"
LOOKED_AT, SHOWN = 512, 40


def mistaken(head: bytes, ending: str) -> str:
    """What a file is that could not be read, and what to do, in words; nothing where its first bytes do not say it.

    Args:
        head: its first LOOKED_AT bytes, or all of them.
        ending: of its name, with the dot.
    """
    head = head[:LOOKED_AT]
    if not head:
        return "is empty; copy or download it again"
    for beginning, words in BEGINNINGS.items():
        if head.startswith(beginning):
            return words
    if head.lstrip().lower().startswith(PAGES):
        return "is a web page, which a server sent in the place of the file; download it again"
    if _at(head, *TAR):
        return "is a tar archive; unpack it, and name the file in it"
    for known, mark in FORMATS.items():
        if known != ending and _at(head, *mark) and (known != ".onnx" or head.startswith(ONNX)):
            return f"is a {known} file by its content; give it that ending"
    text = head.decode("ascii", errors="replace")
    if all(character.isprintable() or character.isspace() for character in text) and "\ufffd" not in text:
        return f"is a text, which begins {text[:SHOWN]!r}; name the model"
    return ""


def _at(head: bytes, place: int, mark: bytes) -> bool:
    return head[place : place + len(mark)] == mark
