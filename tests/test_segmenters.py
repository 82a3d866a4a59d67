"""Promptable segmenters: functions, SAM 2 by onnxruntime and by transformers, and the cache of masks."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import save_sam2

from point2act.core.errors import ModelError
from point2act.core.masks import CandidateMasks
from point2act.vlm.segmenters.cache import CachedSegmenter, prepare_folder
from point2act.vlm.segmenters.embeddings import Embeddings, image_digest
from point2act.vlm.segmenters.factory import SegmenterConfig, as_segmenter, open_segmenter
from point2act.vlm.segmenters.onnx_files import OnnxSegmenter
from point2act.vlm.segmenters.sam2 import Sam2Segmenter
from point2act.vlm.segmenters.segmenter import FunctionSegmenter, Segmenter

NONE = np.zeros((0, 2))


def disc(height: int = 120, width: int = 160, middle=(50.0, 40.0), radius: float = 22.0):
    """An orange disc on a grey ground with a little noise, and its pixels."""
    y, x = np.mgrid[:height, :width] + 0.5
    mask = (x - middle[0]) ** 2 + (y - middle[1]) ** 2 < radius**2
    noise = np.random.default_rng(0).integers(-6, 7, (height, width, 3))
    image = np.where(mask[..., None], [230, 120, 30], [110, 110, 115]) + noise
    return image.astype(np.uint8), mask


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


# ── a function ─────────────────────────────────────────────────────────────────────────────────
def test_a_function_is_a_segmenter():
    image, mask = disc()
    asked = []

    def segment(image, positive, negative):
        asked.append((image, positive, negative))
        return [mask.astype(float), 1 - mask.astype(float)], [0.9, 0.25]

    segmenter = as_segmenter(segment)
    assert isinstance(segmenter, Segmenter)
    found = segmenter.segment(image, np.array([[50.0, 40.0]]), NONE)
    np.testing.assert_array_equal(found.masks, [mask, ~mask])
    np.testing.assert_array_equal(found.scores, [0.9, 0.25])
    assert asked[0][0] is image
    assert segmenter.identity is None
    assert as_segmenter(segmenter) is segmenter
    assert as_segmenter(None) is None


@pytest.mark.parametrize(
    "answer",
    [
        None,
        np.ones((1, 120, 160)),
        (np.ones((120, 160)), [1.0]),
        (np.ones((1, 160, 120)), [1.0]),
        (np.ones((2, 120, 160)), [1.0]),
        (np.ones((1, 120, 160)), [1.5]),
        (np.ones((1, 120, 160)), [np.nan]),
        ("masks", "scores"),
    ],
)
def test_what_a_function_must_return_is_reported(answer):
    with pytest.raises(ModelError, match=r"masks \(m, 120, 160\) and m scores"):
        FunctionSegmenter(lambda *_: answer).segment(disc()[0], np.array([[1.0, 2.0]]), NONE)


def test_no_mask_is_an_answer():
    empty = np.zeros((0, 120, 160)), np.zeros(0)
    found = FunctionSegmenter(lambda *_: empty).segment(disc()[0], np.array([[1.0, 2.0]]), NONE)
    assert found.masks.shape == (0, 120, 160)


# ── the cache ──────────────────────────────────────────────────────────────────────────────────
class Counting:
    """A segmenter that counts its calls; its mask depends on all that it is given."""

    def __init__(self, name: str | None = "a"):
        self.name = name
        self.calls = 0

    @property
    def identity(self):
        return None if self.name is None else {"model": self.name}

    def segment(self, image, positive, negative):
        self.calls += 1
        rng = np.random.default_rng([self.calls, len(positive), len(negative)])
        return CandidateMasks(rng.random((3, *image.shape[:2])) > 0.5, rng.random(3))


POINT = np.array([[50.25, 40.5]])


def test_the_same_prompt_is_segmented_once(tmp_path: Path):
    counting = Counting()
    cached = CachedSegmenter(counting, tmp_path)
    image, _ = disc(31, 45)
    first = cached.segment(image, POINT, NONE)
    again = CachedSegmenter(counting, tmp_path).segment(image.copy(), POINT + 1e-4, NONE)
    assert counting.calls == 1
    np.testing.assert_array_equal(first.masks, again.masks)
    np.testing.assert_array_equal(first.scores, again.scores)


def test_anything_else_is_segmented_again(tmp_path: Path):
    counting = Counting()
    cached = CachedSegmenter(counting, tmp_path)
    image, _ = disc(31, 45)
    other = image.copy()
    other[3, 3, 0] ^= 1
    cached.segment(image, POINT, NONE)
    cached.segment(other, POINT, NONE)
    cached.segment(image, POINT + 1, NONE)
    cached.segment(image, POINT, POINT + 5)
    cached.segment(image, np.concatenate([POINT, POINT + 5]), NONE)
    cached.segment(image.reshape(45, 31, 3), POINT, NONE)
    assert counting.calls == 6
    renamed = Counting("b")
    CachedSegmenter(renamed, tmp_path).segment(image, POINT, NONE)
    assert renamed.calls == 1


def test_what_has_no_identity_is_not_cached(tmp_path: Path):
    counting = Counting(None)
    for _ in range(2):
        CachedSegmenter(counting, tmp_path).segment(disc(31, 45)[0], POINT, NONE)
    assert counting.calls == 2
    assert not list(tmp_path.iterdir())


@given(st.binary(max_size=40), st.integers(0, 400))
def test_a_damaged_entry_is_segmented_again(tmp_path_factory, junk: bytes, at: int):
    folder = tmp_path_factory.mktemp("masks")
    counting = Counting()
    cached = CachedSegmenter(counting, folder)
    image, _ = disc(31, 45)
    first = cached.segment(image, POINT, NONE)
    (entry,) = folder.rglob("*.npz")
    written = entry.read_bytes()
    entry.write_bytes(written[:at] + junk)
    found = cached.segment(image, POINT, NONE)
    assert counting.calls == 2 or np.array_equal(found.masks, first.masks)
    assert found.masks.shape == (3, 31, 45)


def test_a_cache_that_cannot_be_written_is_reported(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"--masks\.cache"):
        prepare_folder(tmp_path / "file" / "masks")


# ── embeddings ─────────────────────────────────────────────────────────────────────────────────
def test_the_images_used_last_are_kept():
    encoded = []
    kept = Embeddings(lambda image: encoded.append(image[0, 0, 0]) or int(image[0, 0, 0]), size=2)
    images = [np.full((4, 5, 3), value, np.uint8) for value in range(3)]
    for number in (0, 1, 0, 2, 0, 1):
        assert kept.of(images[number]) == number
    assert encoded == [0, 1, 2, 1]


def test_a_digest_depends_on_the_shape_and_every_pixel():
    image = np.zeros((4, 6, 3), np.uint8)
    assert image_digest(image) == image_digest(np.asfortranarray(image))
    assert image_digest(image) != image_digest(image.reshape(6, 4, 3))


# ── onnxruntime ────────────────────────────────────────────────────────────────────────────────
MEAN = np.array([0.485, 0.456, 0.406])
DEVIATION = np.array([0.229, 0.224, 0.225])


class ColorSession:
    """In place of a network: the encoder passes pixels on, the decoder compares colours."""

    def __init__(self, path: str, options, providers):
        assert providers == ["CPUExecutionProvider"]
        self.encoder = "encoder" in path
        if "broken" in Path(path).read_text():
            raise RuntimeError("[ONNXRuntimeError] : no such format\nand more")

    def get_inputs(self):
        taken = ["image_embed", "high_res_feats_0", "high_res_feats_1", "point_coords", "point_labels"]
        names = ["image"] if self.encoder else [*taken, "mask_input", "has_mask_input"]
        return [SimpleNamespace(name=name) for name in names]

    def get_outputs(self):
        names = ["high_res_feats_0", "high_res_feats_1", "image_embed"]
        return [SimpleNamespace(name=name) for name in names]

    def run(self, names, inputs):
        if self.encoder:
            assert inputs["image"].shape == (1, 3, 1024, 1024)
            assert inputs["image"].dtype == np.float32
            pixels = inputs["image"][0].transpose(1, 2, 0) * DEVIATION + MEAN
            return [np.zeros(1), np.zeros(1), pixels]
        assert names == ["masks", "iou_predictions"]
        pixels = inputs["image_embed"]
        assert inputs["point_coords"].dtype == inputs["point_labels"].dtype == np.float32
        column, row = inputs["point_coords"][0, 0].astype(int)
        away = np.abs(pixels[2::4, 2::4] - pixels[row, column]).sum(axis=-1)
        logits = 0.3 - away
        return [np.stack([logits, -logits, logits - 9])[None], np.array([[0.9, 1.02, -0.01]])]


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files for the session above, which takes the place of onnxruntime's."""
    runtime = SimpleNamespace(InferenceSession=ColorSession, SessionOptions=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    for name in ("sam2_encoder.ort", "sam2_decoder.onnx"):
        (tmp_path / name).write_text("fine")
    return tmp_path


@pytest.mark.parametrize(("height", "width"), [(120, 160), (300, 200)])
def test_points_and_masks_are_in_pixels_of_the_image(exported: Path, height: int, width: int):
    image, mask = disc(height, width, middle=(60.0, 80.0))
    segmenter = open_segmenter(SegmenterConfig(path=exported, cache=exported / "cache"))
    found = segmenter.segment(image, np.array([[75.0, 85.0]]), NONE)
    assert found.masks.shape == (3, height, width)
    assert overlap(found.masks[0], mask) > 0.95
    assert overlap(found.masks[1], ~mask) > 0.95
    assert not found.masks[2].any()
    np.testing.assert_array_equal(found.scores, [0.9, 1.0, 0.0])
    off = segmenter.segment(image, np.array([[75.0, 110.0]]), np.array([[60.0, 80.0]]))
    assert overlap(off.masks[0], ~mask) > 0.95


def test_an_image_is_encoded_once(exported: Path, monkeypatch: pytest.MonkeyPatch):
    ran = []
    run = ColorSession.run
    monkeypatch.setattr(ColorSession, "run", lambda self, *a: ran.append(self.encoder) or run(self, *a))
    segmenter = OnnxSegmenter(exported)
    for _ in range(3):
        segmenter.segment(disc()[0], POINT, NONE)
    assert ran == [True, False, False, False]


def test_other_files_are_another_segmenter(exported: Path):
    before = OnnxSegmenter(exported).identity
    assert before == OnnxSegmenter(exported).identity
    (exported / "sam2_decoder.onnx").write_text("fine, too")
    assert before != OnnxSegmenter(exported).identity


def test_a_folder_without_its_files_is_reported(exported: Path):
    (exported / "my_encoder.onnx").write_text("")
    with pytest.raises(ModelError, match=r"needs one file \*encoder\*.*has my_encoder\.onnx, sam2_encoder"):
        OnnxSegmenter(exported)
    (exported / "sam2_decoder.onnx").unlink()
    with pytest.raises(ModelError, match=r"config\.json"):
        open_segmenter(SegmenterConfig(path=exported, remember=False))
    with pytest.raises(ModelError, match="is no folder"):
        open_segmenter(SegmenterConfig(path=exported / "nowhere"))


def test_files_that_cannot_be_loaded_are_reported(exported: Path):
    (exported / "sam2_encoder.ort").write_text("broken")
    with pytest.raises(ModelError, match=r"sam2_encoder\.ort cannot be loaded.*no such format$"):
        OnnxSegmenter(exported).segment(disc()[0], POINT, NONE)


def test_an_export_of_something_else_is_reported(exported: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ColorSession, "get_inputs", lambda _: [SimpleNamespace(name="image")])
    with pytest.raises(ModelError, match="no export of SAM 2"):
        OnnxSegmenter(exported).segment(disc()[0], POINT, NONE)


def test_a_missing_onnxruntime_is_reported(exported: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"pip install 'point2act\[masks\]'"):
        OnnxSegmenter(exported)


# ── transformers ───────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return save_sam2(tmp_path_factory.mktemp("sam2"))


def test_sam2_of_transformers_gives_three_masks_of_the_image_s_size(tiny: Path):
    segmenter = open_segmenter(SegmenterConfig(path=tiny, remember=False, device="cpu"))
    image, _ = disc()
    found = segmenter.segment(image, POINT, NONE)
    assert found.masks.shape == (3, 120, 160)
    assert found.masks.dtype == bool
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    again = Sam2Segmenter(tiny, device="cpu").segment(image, POINT, NONE)
    np.testing.assert_array_equal(found.masks, again.masks)
    # What is shown and which points are given makes a difference.
    other = segmenter.segment(image[:, ::-1].copy(), POINT, NONE)
    more = segmenter.segment(image, np.concatenate([POINT, POINT + 20]), POINT - 20)
    assert (found.masks != other.masks).any()
    assert (found.masks != more.masks).any()


def test_weights_are_part_of_the_identity(tiny: Path):
    assert Sam2Segmenter(tiny).identity == Sam2Segmenter(tiny).identity
    assert Sam2Segmenter("facebook/sam2.1-hiera-tiny").identity == {
        "provider": "transformers",
        "model": "facebook/sam2.1-hiera-tiny",
        "files": None,
    }


def test_a_folder_that_is_no_sam2_is_reported(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"cannot be loaded as SAM 2.*hf download"):
        Sam2Segmenter(tmp_path).segment(disc()[0], POINT, NONE)


def test_incomplete_weights_are_reported(tiny: Path, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    for path in tiny.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop(next(name for name in weights if "mask_tokens" in name))
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="1 are missing"):
        Sam2Segmenter(tmp_path).segment(disc()[0], POINT, NONE)


# ── real weights ───────────────────────────────────────────────────────────────────────────────
def test_sam2_with_real_weights_finds_a_disc():
    folder = os.environ.get("POINT2ACT_SAM2")
    if folder is None:
        pytest.skip("POINT2ACT_SAM2 names no folder with SAM 2 (docs/models.md)")
    segmenter = open_segmenter(SegmenterConfig(path=Path(folder), remember=False))
    image, mask = disc(240, 320, middle=(150.0, 100.0), radius=40.0)
    found = segmenter.segment(image, np.array([[160.0, 110.0]]), NONE)
    assert overlap(found.masks[found.scores.argmax()], mask) > 0.97
    assert found.scores.max() > 0.9
    start = time.perf_counter()
    segmenter.segment(image, np.array([[20.0, 20.0]]), NONE)
    assert time.perf_counter() - start < 10  # the image is not encoded again
