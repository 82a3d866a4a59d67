"""Archives from strangers: only what a capture has, only where it belongs, only as much as is allowed."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from point2act.core.errors import CaptureError
from point2act.service.archives import extract
from point2act.service.limits import ServiceLimits

LIMITS = ServiceLimits(max_upload=10_000, max_files=8)
GOOD = {"transforms.json": b"{}", "images/0.png": b"pixels"}

Pack = Callable[[dict[str, bytes]], bytes]


def as_zip(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def as_tar(files: dict[str, bytes], mode: str = "w") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return content.getvalue()


def as_tar_gz(files: dict[str, bytes]) -> bytes:
    return as_tar(files, "w:gz")


packed = pytest.mark.parametrize("pack", [as_zip, as_tar, as_tar_gz])


def refused(tmp_path: Path, archive: bytes, says: str, limits: ServiceLimits = LIMITS) -> None:
    outside = {path for path in tmp_path.parent.rglob("*") if tmp_path not in (path, *path.parents)}
    (tmp_path / "archive").write_bytes(archive)
    with pytest.raises(CaptureError, match=says) as err:
        extract(tmp_path / "archive", tmp_path / "deep" / "folder", limits)
    assert "\n" not in str(err.value)
    assert str(tmp_path) not in str(err.value)
    written = {path for path in tmp_path.rglob("*") if path.is_file()} - {tmp_path / "archive"}
    assert all(tmp_path / "deep" / "folder" in path.parents for path in written)
    assert {path for path in tmp_path.parent.rglob("*") if tmp_path not in (path, *path.parents)} == outside


@packed
@pytest.mark.parametrize("above", ["", "kitchen/", "./"])
def test_a_capture_is_extracted(tmp_path, pack: Pack, above):
    (tmp_path / "archive").write_bytes(pack({above + name: data for name, data in GOOD.items()}))
    folder = extract(tmp_path / "archive", tmp_path / "out", LIMITS)
    assert {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == GOOD


@packed
@pytest.mark.parametrize(
    "name",
    ["../outside", "images/../../outside", "/outside", "..\\outside", "C:\\outside", "a\nb", "d/" * 30 + "x"],
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, pack: Pack, name):
    refused(tmp_path, pack({**GOOD, name: b"x"}), "send names inside of the capture")


@packed
def test_sizes_and_numbers_are_limited(tmp_path, pack: Pack):
    refused(tmp_path, pack({**GOOD, "big": bytes(20_000)}), "over 0.00953674 MB")
    (tmp_path / "more").mkdir()
    refused(tmp_path / "more", pack({str(n): b"" for n in range(9)}), "over 8 files")


@packed
def test_an_archive_without_a_capture_is_refused(tmp_path, pack: Pack):
    refused(tmp_path, pack({"images/0.png": b""}), "no transforms.json at its top")


@packed
@given(data=st.data())
def test_any_damage_is_one_sentence(pack: Pack, data, tmp_path_factory):
    archive = bytearray(pack(GOOD))
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "archive").write_bytes(archive[: data.draw(st.integers(0, len(archive)))])
    try:
        extract(folder / "archive", folder / "out", LIMITS)
        sentence = ""
    except CaptureError as err:
        sentence = str(err)
    assert "\n" not in sentence
    assert str(folder) not in sentence


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_of_tar_are_refused(tmp_path, kind):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        info = tarfile.TarInfo("images")
        info.type, info.linkname = kind, "/etc"
        archive.addfile(info)
        inside = tarfile.TarInfo("images/passwd")
        archive.addfile(inside, io.BytesIO())
    refused(tmp_path, content.getvalue(), "a link or a device")


def test_links_of_zip_are_refused(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        info = zipfile.ZipInfo("images")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/etc")
    refused(tmp_path, content.getvalue(), "has a link")


def test_a_name_that_comes_twice_does_not_overwrite(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("transforms.json", "{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("transforms.json", "[]")
    refused(tmp_path, content.getvalue(), "FileExistsError")


def test_a_zip_that_lists_millions_of_files_is_not_read(tmp_path):
    archive = as_zip({str(n): b"" for n in range(200)})
    refused(tmp_path, archive, "lists over 2 files", replace(LIMITS, max_files=2))
    end = archive.rindex(b"PK\x05\x06")
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, 0, 1)
    (tmp_path / "second").mkdir()
    refused(tmp_path / "second", archive[:end] + locator + archive[end:], "lists over")


def test_a_tar_whose_header_claims_gigabytes_is_not_read(tmp_path):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 3 << 30
    refused(tmp_path, gzip.compress(header.tobuf() + bytes(5000)), "a header of many megabytes")


@pytest.mark.parametrize("content", [b"", b"PK", b"\x1f\x8b", b"hello", bytes(2000)])
def test_what_is_no_archive_is_one_sentence(tmp_path, content):
    refused(tmp_path, content, "the archive")
