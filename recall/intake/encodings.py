"""Is this file text, and in which encoding? Read once from end to end before any row is believed."""

from __future__ import annotations

import codecs
import hashlib
import re
from pathlib import Path
from typing import BinaryIO

from recall.errors import BadFile, Problem

_BLOCK = 1 << 20
_ASCII = re.compile("[\x00-\x7f]+")

_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "is a ZIP archive or an Excel workbook", "unpack it, or save the sheet as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook", "save the sheet as CSV UTF-8"),
    (b"\x1f\x8b", "is compressed (gzip)", "unpack it first"),
    (b"BZh", "is compressed (bzip2)", "unpack it first"),
    (b"\xfd7zXZ", "is compressed (xz)", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "is compressed (zstd)", "unpack it first"),
    (b"7z\xbc\xaf", "is compressed (7z)", "unpack it first"),
    (b"PAR1", "is a Parquet file", "export it as CSV"),
    (b"%PDF", "is a PDF", "export it as CSV"),
    (codecs.BOM_UTF32_LE, "is UTF-32", "save it as UTF-8"),
    (codecs.BOM_UTF32_BE, "is UTF-32", "save it as UTF-8"),
)
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
ENCODINGS = {
    "auto": "auto",
    "utf-8": "utf-8-sig",
    "utf-8-sig": "utf-8-sig",
    "utf8": "utf-8-sig",
    "gb18030": "gb18030",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "utf-16": "utf-16",
}


def _problem(path: Path, message: str, hint: str, *, line: int | None = None) -> Problem:
    return Problem(path.name, line, message, hint)


def examine(path: Path, file: BinaryIO, asked: str) -> tuple[str, str]:
    """SHA-256 and encoding of a whole file; raises BadFile when it is not text in an encoding we read."""
    start = file.read(8)
    for magic, what, hint in _MAGIC:
        if start.startswith(magic):
            raise BadFile([_problem(path, what, hint)])
    encoding = _stated_encoding(path, start, asked)
    digest = hashlib.sha256()
    wrong, is_cut = _first_undecodable(file, encoding, digest)
    if wrong is None:
        return digest.hexdigest(), encoding
    if asked == "auto" and encoding == "utf-8-sig" and not is_cut and _is_chinese(file):
        return digest.hexdigest(), "gb18030"
    hint = "save it as UTF-8, or say --encoding gb18030 if it is Chinese text saved by Excel"
    if asked != "auto" or encoding == "utf-16":
        hint = "save it as UTF-8"
    raise BadFile([_problem(path, f"this line is not {encoding.removesuffix('-sig').upper()}", hint, line=wrong)])


def _stated_encoding(path: Path, start: bytes, asked: str) -> str:
    """What the byte order mark says, else what was asked for, else UTF-8."""
    if asked.lower() not in ENCODINGS:
        hint = "recall reads utf-8, gb18030 and utf-16; convert the file, such as with iconv"
        raise BadFile([_problem(path, f"{asked} is not an encoding recall reads", hint)])
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if start.startswith(_UTF16_BOMS):
        return "utf-16"
    encoding = ENCODINGS[asked.lower()]
    if encoding == "utf-16":
        message = "has no byte order mark, so its byte order would be a guess"
        raise BadFile([_problem(path, message, "save it as UTF-8")])
    if start.count(0) * 3 >= len(start) > 1:
        raise BadFile([_problem(path, "looks like UTF-16 without byte order mark, or is no text", "save it as UTF-8")])
    return "utf-8-sig" if encoding == "auto" else encoding


def _first_undecodable(file: BinaryIO, encoding: str, digest: hashlib._Hash) -> tuple[int | None, bool]:
    """(line of the first bytes that are not text in this encoding, is only the last character cut off?).

    Hashes the whole file.
    """
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    line, wrong = 1, None
    while block := file.read(_BLOCK):
        digest.update(block)
        if wrong is None:
            wrong, line = _decode_block(decoder, block, line)
    if wrong is not None:
        return wrong, False
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return line, True
    return None, False


def _decode_block(decoder: codecs.IncrementalDecoder, block: bytes, line: int) -> tuple[int | None, int]:
    """(line of the first wrong bytes or None, line after the block)."""
    try:
        return None, line + decoder.decode(block).count("\n")
    except UnicodeDecodeError as error:
        return line + error.object[: error.start].count(b"\n"), line


def _is_chinese(file: BinaryIO) -> bool:
    """Is this GB 18030? All of it decodes, and nearly all that is not ASCII are the common characters of GB 2312.

    Western text read as GB 18030 becomes rare characters or fails: its letters stand alone between ASCII.
    """
    file.seek(0)
    decoder = codecs.getincrementaldecoder("gb18030")("strict")
    common = rare = 0
    try:
        while block := file.read(_BLOCK):
            text = _ASCII.sub("", decoder.decode(block))
            kept = len(text.encode("gb2312", errors="ignore").decode("gb2312"))
            common, rare = common + kept, rare + len(text) - kept
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return common > 0 and rare * 10 <= common
