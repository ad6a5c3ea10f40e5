"""The eight breeds of paper dogs, from common to rare."""

from __future__ import annotations

import numpy as np

from imgcollapse.data.paper_dogs.drawing import (
    INK,
    Breed,
    Color,
    Frame,
    Limb,
    Points,
    Shape,
    disc,
    pompon,
    shaggy,
    smooth,
)

TRUNK, HEAD, EAR, TAIL, FORE, FAR_FORE, HIND, FAR_HIND = Limb
WHITE: Color = (250, 247, 240)
RED: Color = (206, 62, 58)
BLUE: Color = (58, 108, 178)


def _far(color: Color) -> Color:
    """The shade of the legs on the far side."""
    red, green, blue = color
    return int(red * 0.78), int(green * 0.76), int(blue * 0.76)


def _far_legs(frame: Frame, fore: Color, hind: Color) -> list[Shape]:
    return [
        Shape(np.add(frame.thigh(), (0.07, -0.02)), FAR_HIND, _far(hind)),
        Shape(np.add(frame.forearm(), (0.06, -0.02)), FAR_FORE, _far(fore)),
    ]


def _near_legs(frame: Frame, fore: Color, hind: Color) -> list[Shape]:
    return [Shape(frame.thigh(), HIND, hind), Shape(frame.forearm(), FORE, fore)]


def _head(frame: Frame, coat: Color, muzzle: Color, collar: Color) -> list[Shape]:
    return [
        Shape(frame.crest(), HEAD, coat),
        Shape(frame.collar(), HEAD, collar),
        Shape(frame.face(), HEAD, coat),
        Shape(frame.chops(), HEAD, muzzle),
    ]


def _features(frame: Frame, ear: Points, color: Color) -> list[Shape]:
    return [
        Shape(ear, EAR, color),
        Shape(frame.eye(), HEAD, INK),
        Shape(frame.glint(), HEAD, WHITE),
        Shape(frame.nose(), HEAD, INK),
    ]


def golden_retriever() -> Breed:
    """All gold, with a feathered tail."""
    frame = Frame(leg=0.44, depth=0.4, neck=0.22, skull=0.23, muzzle=0.23, snout=0.1, bone=0.09)
    gold, light, dark = (222, 160, 66), (238, 190, 108), (184, 116, 40)
    tail = smooth(
        (0.08, 0), (-0.12, -0.1), (-0.28, -0.34), (-0.38, -0.16), (-0.28, 0.12), (0.02, 0.14),
        at=frame.croup,
    )  # fmt: skip
    half, back = frame.length / 2, frame.back
    bib = smooth(
        (half + 0.02, back + 0.08), (half + 0.14, back + 0.12), (half + 0.15, back + 0.3),
        (half + 0.07, back + 0.45), (half - 0.06, back + 0.5), (half - 0.08, back + 0.28),
    )  # fmt: skip
    return Breed(
        "Golden Retriever",
        (
            Shape(tail, TAIL, light),
            *_far_legs(frame, gold, gold),
            Shape(frame.trunk(), TRUNK, gold),
            *_near_legs(frame, gold, gold),
            Shape(shaggy(bib, 0.02), TRUNK, light),
            *_head(frame, gold, light, RED),
            *_features(frame, frame.drop_ear(0.3, 0.12), dark),
        ),
        frame.joints,
    )


def german_shepherd() -> Breed:
    """Tan with a black saddle and mask, pricked ears and a low brush."""
    frame = Frame(
        length=0.7, leg=0.46, depth=0.38, neck=0.28, skull=0.21, muzzle=0.27, snout=0.085, bone=0.08
    )
    tan, black = (196, 130, 72), (52, 44, 46)
    half, back = frame.length / 2, frame.back
    tail = smooth(
        (0.08, 0), (-0.1, 0.02), (-0.2, 0.26), (-0.26, 0.5), (-0.12, 0.52), (-0.02, 0.3),
        (0.06, 0.14), at=frame.croup,
    )  # fmt: skip
    saddle = smooth(
        (-half - 0.1, back + 0.12), (-half, back - 0.01), (0, back + 0.01), (half, back - 0.03),
        (half + 0.06, back + 0.1), (half - 0.1, back + 0.22), (-0.1, back + 0.26),
        (-half + 0.1, back + 0.16),
    )  # fmt: skip
    return Breed(
        "German Shepherd",
        (
            Shape(tail, TAIL, black),
            *_far_legs(frame, tan, tan),
            Shape(frame.trunk(), TRUNK, tan),
            *_near_legs(frame, tan, tan),
            Shape(frame.prick_ear(0.22, 0.12), EAR, _far(tan)),
            *_head(frame, tan, black, RED),
            Shape(saddle, TRUNK, black),
            *_features(frame, frame.prick_ear(0.26), black),
        ),
        frame.joints,
    )


def poodle() -> Breed:
    """Pompons on head, chest, tail and ankles; ink-violet all over."""
    frame = Frame(
        length=0.5, leg=0.56, depth=0.26, neck=0.32, skull=0.15, muzzle=0.24, snout=0.06, bone=0.05
    )
    coat, curl = (112, 88, 108), (78, 58, 78)
    half, back = frame.length / 2, frame.back
    x, y = frame.poll
    rump, top = frame.croup
    stick = smooth((0.06, 0), (-0.1, -0.22), (-0.04, -0.24), (0.1, 0.02), at=frame.croup)
    feet = [(half, FORE, curl), (-half - 0.02, HIND, curl)]
    far = [(half + 0.06, FAR_FORE, _far(curl)), (-half + 0.06, FAR_HIND, _far(curl))]
    return Breed(
        "Poodle",
        (
            Shape(stick, TAIL, coat),
            Shape(pompon(rump - 0.1, top - 0.3, 0.13), TAIL, curl),
            *_far_legs(frame, coat, coat),
            *(Shape(pompon(foot, -0.15, 0.11), limb, color) for foot, limb, color in far),
            *_near_legs(frame, coat, coat),
            Shape(frame.trunk(), TRUNK, coat),
            *(Shape(pompon(foot, -0.14, 0.12), limb, color) for foot, limb, color in feet),
            Shape(frame.crest(), HEAD, coat),
            Shape(pompon(half - 0.02, back + 0.12, 0.27, 11), TRUNK, curl),
            Shape(frame.collar(), HEAD, RED),
            Shape(frame.face(), HEAD, coat),
            Shape(pompon(x - 0.06, y - 0.13, 0.19, 9), HEAD, curl),
            *_features(frame, pompon(x - 0.1, y + 0.12, 0.13, 7), curl),
        ),
        frame.joints,
    )


def dachshund() -> Breed:
    """Long, low and chestnut."""
    frame = Frame(
        length=0.98, leg=0.2, depth=0.34, neck=0.28, skull=0.22, muzzle=0.3, snout=0.085, bone=0.085
    )
    coat, tan, dark = (150, 66, 40), (196, 118, 66), (108, 42, 28)
    tail = smooth((0.08, -0.02), (-0.16, -0.12), (-0.3, -0.36), (-0.2, -0.02), (0.06, 0.1),
                  at=frame.croup)  # fmt: skip
    return Breed(
        "Dachshund",
        (
            Shape(tail, TAIL, coat),
            *_far_legs(frame, tan, coat),
            *_near_legs(frame, tan, coat),
            Shape(frame.trunk(), TRUNK, coat),
            *_head(frame, coat, tan, BLUE),
            *_features(frame, frame.drop_ear(0.34, 0.13), dark),
        ),
        frame.joints,
    )


def beagle() -> Breed:
    """White legs, black blanket, brown head, and the tail straight up with a white tip."""
    frame = Frame(length=0.66, leg=0.4, depth=0.36, neck=0.2, skull=0.21, muzzle=0.21, snout=0.1)
    brown, black, dark = (190, 106, 48), (56, 48, 50), (148, 74, 30)
    half, back = frame.length / 2, frame.back
    rump, top = frame.croup
    tail = smooth((0.08, 0.06), (-0.1, -0.16), (-0.12, -0.4), (-0.03, -0.4), (0.0, -0.16),
                  (0.1, 0), at=frame.croup)  # fmt: skip
    tip = smooth((-0.11, -0.24), (-0.13, -0.42), (-0.03, -0.43), (-0.01, -0.26), at=(rump, top))
    blanket = smooth(
        (-half - 0.1, back + 0.12), (-half, back - 0.01), (0, back + 0.01),
        (half - 0.04, back - 0.02), (half - 0.08, back + 0.2), (-0.1, back + 0.24),
        (-half - 0.02, back + 0.28),
    )  # fmt: skip
    return Breed(
        "Beagle",
        (
            Shape(tail, TAIL, black),
            Shape(tip, TAIL, WHITE),
            *_far_legs(frame, WHITE, WHITE),
            Shape(frame.trunk(), TRUNK, WHITE),
            *_near_legs(frame, WHITE, WHITE),
            Shape(blanket, TRUNK, black),
            *_head(frame, brown, WHITE, RED),
            *_features(frame, frame.drop_ear(0.34, 0.13), dark),
        ),
        frame.joints,
    )


def husky() -> Breed:
    """Slate over white, a white mask, pricked ears and a tail curled over the back."""
    frame = Frame(length=0.68, leg=0.44, depth=0.38, neck=0.22, skull=0.21, muzzle=0.2, snout=0.085)
    slate, white, dark = (104, 118, 140), (244, 246, 250), (72, 84, 106)
    half, back = frame.length / 2, frame.back
    x, y = frame.poll
    tail = smooth(
        (0.08, 0.08), (-0.16, -0.02), (-0.24, -0.24), (-0.06, -0.42), (0.14, -0.34), (0.1, -0.2),
        (-0.04, -0.22), (-0.04, -0.08), (0.12, 0), at=frame.croup,
    )  # fmt: skip
    cloak = smooth(
        (-half - 0.1, back + 0.12), (-half, back - 0.01), (0, back + 0.01), (half, back - 0.03),
        (half + 0.12, back + 0.1), (half, back + 0.24), (0, back + 0.2), (-half, back + 0.26),
    )  # fmt: skip
    cheek = smooth((0.3, -0.1), (0.62, -0.5), (0.9, 0), (0.7, 0.75), (-0.2, 0.9), (-0.5, 0.5))
    return Breed(
        "Siberian Husky",
        (
            Shape(tail, TAIL, slate),
            *_far_legs(frame, white, white),
            Shape(frame.trunk(), TRUNK, white),
            *_near_legs(frame, white, white),
            Shape(cloak, TRUNK, slate),
            Shape(frame.prick_ear(0.18, 0.13), EAR, _far(dark)),
            *_head(frame, slate, white, RED),
            Shape(np.add(cheek * frame.skull, (x, y)), HEAD, white),
            Shape(frame.prick_ear(0.21), EAR, dark),
            Shape(frame.eye(), HEAD, (40, 110, 190)),
            Shape(frame.glint(), HEAD, WHITE),
            Shape(frame.nose(), HEAD, INK),
        ),
        frame.joints,
    )


def dalmatian() -> Breed:
    """White with black spots and black ears."""
    frame = Frame(length=0.64, leg=0.5, depth=0.36, neck=0.28, skull=0.21, muzzle=0.24, snout=0.095)
    half, back = frame.length / 2, frame.back
    x, y = frame.poll
    tail = smooth((0.08, 0), (-0.14, -0.06), (-0.28, -0.34), (-0.2, 0.02), (0.02, 0.12),
                  at=frame.croup)  # fmt: skip
    spots = [
        (-half, back + 0.09, 0.06), (-0.16, back + 0.1, 0.05), (0.0, back + 0.09, 0.06),
        (-half + 0.12, back + 0.22, 0.06), (-0.06, back + 0.24, 0.06), (0.1, back + 0.22, 0.05),
        (half + 0.05, back + 0.3, 0.055), (half - 0.2, back + 0.3, 0.035),
    ]  # fmt: skip
    return Breed(
        "Dalmatian",
        (
            Shape(tail, TAIL, WHITE),
            *_far_legs(frame, WHITE, WHITE),
            Shape(frame.trunk(), TRUNK, WHITE),
            *_near_legs(frame, WHITE, WHITE),
            *(Shape(disc(*spot), TRUNK, INK) for spot in spots),
            Shape(disc(-half + 0.02, -frame.leg - 0.02, 0.05), HIND, INK),
            Shape(disc(-half - 0.03, -frame.leg + 0.2, 0.035), HIND, INK),
            Shape(disc(half - 0.02, -frame.leg + 0.12, 0.035), FORE, INK),
            *_head(frame, WHITE, WHITE, RED),
            Shape(disc(x + 0.14, y + 0.1, 0.03), HEAD, INK),
            *_features(frame, frame.drop_ear(0.32, 0.12), INK),
        ),
        frame.joints,
    )


def petit_basset_griffon_vendeen() -> Breed:
    """Low and shaggy, white with orange patches, bearded, and the tail up like a sabre."""
    frame = Frame(
        length=0.76, leg=0.27, depth=0.38, neck=0.22, skull=0.25, muzzle=0.22, snout=0.13, bone=0.09
    )
    orange, dark, cream = (226, 138, 62), (198, 104, 40), (255, 249, 234)
    half, back = frame.length / 2, frame.back
    x, y = frame.poll
    tail = smooth((0.08, 0.08), (-0.14, -0.14), (-0.16, -0.42), (-0.03, -0.16), (0.1, 0),
                  at=frame.croup)  # fmt: skip
    beard = smooth((0.2, 0.05), (0.42, 0.02), (0.46, 0.12), (0.36, 0.32), (0.16, 0.3), (0.08, 0.18))
    legs = _far_legs(frame, cream, cream) + _near_legs(frame, cream, cream)
    return Breed(
        "Petit Basset Griffon Vendéen",
        (
            Shape(shaggy(tail, 0.03), TAIL, cream),
            *(Shape(shaggy(leg.corners, 0.025), leg.limb, leg.color) for leg in legs),
            Shape(shaggy(frame.trunk(), 0.05), TRUNK, cream),
            Shape(shaggy(disc(-half + 0.12, back + 0.13, 0.15, 1.3), 0.03), TRUNK, orange),
            Shape(shaggy(disc(0.14, back + 0.1, 0.11, 1.2), 0.03), TRUNK, orange),
            Shape(shaggy(frame.crest(), 0.03), HEAD, cream),
            Shape(shaggy(frame.face(), 0.03), HEAD, orange),
            Shape(shaggy(np.add(beard, (x, y)), 0.035), HEAD, cream),
            *_features(frame, shaggy(frame.drop_ear(0.36, 0.13), 0.03), dark),
        ),
        frame.joints,
    )


BREEDS = (
    golden_retriever(),
    german_shepherd(),
    poodle(),
    dachshund(),
    beagle(),
    husky(),
    dalmatian(),
    petit_basset_griffon_vendeen(),
)
"""From common to rare."""
