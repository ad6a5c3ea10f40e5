"""What measuring has found is not found again."""

import imgcollapse as ic
from imgcollapse.oracle import FrozenOracle


def test_no_image_set_is_shown_to_the_oracle_twice(config, tmp_path, monkeypatch):
    shown, answer = [], FrozenOracle.answer

    def counted(oracle, pixels):
        shown.append(pixels.numpy().tobytes())
        return answer(oracle, pixels)

    monkeypatch.setattr(FrozenOracle, "answer", counted)
    ic.run(config, tmp_path / "run", ["curation={kind: verifier, level: 0.5}", "samples=200"])
    # Calibration, reference, real training images, and the samples of three generations; the
    # filters of generations 0 to 2 judge by the same answers.
    assert len(shown) == len(set(shown)) == 6
