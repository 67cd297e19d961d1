"""Where things are: one background for each place, by day and (outdoors) by night.

Coordinates: the picture's centre square is -1 to 1 both ways, since that is what CLIP's
preprocessing keeps; a background reaches `w` to the sides and `h` up and down.
"""

import math

from pen import COLOURS, shade

OUTDOORS = ("sky", "sea", "grass", "desert", "snow", "street")
PLACES = OUTDOORS + ("space", "room", "plain")
GROUND = {"sea": 0.72, "grass": 0.80, "desert": 0.80, "snow": 0.80, "street": 0.80, "room": 0.80}

# Colours of things that would not be seen there.
CLASHES = {"sky": ("blue",), "sea": ("blue",), "grass": ("green",), "desert": ("yellow", "orange"),
           "snow": ("white",), "street": ("grey",), "space": ("black",), "room": (), "plain": ()}

_DAY = [((92, 170, 236), (206, 234, 250)), ((120, 190, 240), (236, 244, 250)),
        ((98, 186, 226), (252, 236, 210))]
_NIGHT = [((14, 20, 56), (48, 62, 120)), ((20, 18, 52), (74, 58, 118))]


def _dim(colour, night):
    return tuple(int(part * tint) for part, tint in zip(colour, (0.36, 0.40, 0.58))) if night else colour


def _stars(p, w, low, high, r, count, colours=((255, 255, 255),)):
    for _ in range(int(count * w)):
        p.circle(r.uniform(-w, w), r.uniform(low, high), r.choice((0.008, 0.012, 0.02)), r.choice(colours))


def _sky(p, w, h, r, night, bottom):
    upper, lower = r.choice(_NIGHT if night else _DAY)
    p.gradient(-w, -h, w, bottom, upper, lower)
    if night:
        _stars(p, w, -h, bottom, r, 30, ((255, 255, 255), (255, 246, 200)))


def _hill(p, w, h, r, y, height, colour, waves=1.3):
    phase = r.uniform(0, math.tau)
    points = [(-w + 2 * w * i / 24, y + height * math.sin(phase + waves * (-w + 2 * w * i / 24)))
              for i in range(25)]
    p.poly(points + [(w, h), (-w, h)], colour)


def sky(p, w, h, r, night):
    _sky(p, w, h, r, night, h)
    if not night:
        for _ in range(3):
            x, y = r.uniform(-w, w), r.uniform(-h, h)
            p.rect(x - 0.5, y - 0.02, x + 0.5, y + 0.02, (255, 255, 255), 0.02, alpha=90)


def sea(p, w, h, r, night):
    horizon = r.uniform(-0.15, 0.15)
    _sky(p, w, h, r, night, horizon)
    p.gradient(-w, horizon, w, h, _dim((46, 134, 190), night), _dim((14, 72, 138), night))
    for _ in range(int(12 * w)):
        x, y = r.uniform(-w, w), r.uniform(horizon + 0.06, h)
        p.stroke("M %.3f %.3f Q %.3f %.3f %.3f %.3f" % (x - 0.1, y, x, y - 0.05, x + 0.1, y), 0.02,
                 _dim((150, 208, 232), night))


def waves_before(p, w, h, y, r, night):
    """Water in front of what floats on it."""
    for level, tone in ((y - 0.02, (58, 140, 196)), (y + 0.09, (30, 104, 168))):
        phase = r.uniform(0, math.tau)
        points = [(-w + 2 * w * i / 30, level + 0.025 * math.sin(phase + 9 * (-w + 2 * w * i / 30)))
                  for i in range(31)]
        p.poly(points + [(w, h), (-w, h)], _dim(tone, night), 225)


def grass(p, w, h, r, night):
    horizon = r.uniform(-0.1, 0.25)
    _sky(p, w, h, r, night, horizon + 0.2)
    _hill(p, w, h, r, horizon, 0.09, _dim((136, 196, 96), night))
    _hill(p, w, h, r, horizon + 0.24, 0.06, _dim((104, 178, 76), night))
    for _ in range(int(16 * w)):
        x, y = r.uniform(-w, w), r.uniform(horizon + 0.35, h)
        p.line([(x - 0.03, y - 0.06), (x, y), (x + 0.03, y - 0.06)], 0.016, _dim((70, 140, 54), night))


def desert(p, w, h, r, night):
    horizon = r.uniform(-0.05, 0.2)
    if night:
        _sky(p, w, h, r, True, horizon + 0.2)
    else:
        p.gradient(-w, -h, w, horizon + 0.2, r.choice(((120, 196, 230), (250, 190, 120))), (254, 236, 200))
    _hill(p, w, h, r, horizon, 0.13, _dim((238, 198, 124), night), 1.8)
    _hill(p, w, h, r, horizon + 0.26, 0.09, _dim((226, 178, 100), night), 2.3)
    for _ in range(int(7 * w)):
        x, y = r.uniform(-w, w), r.uniform(horizon + 0.45, h)
        p.stroke("M %.3f %.3f Q %.3f %.3f %.3f %.3f" % (x - 0.14, y, x, y - 0.04, x + 0.14, y), 0.014,
                 _dim((200, 150, 78), night))


def snow(p, w, h, r, night):
    horizon = r.uniform(-0.05, 0.2)
    if night:
        _sky(p, w, h, r, True, horizon + 0.2)
    else:
        p.gradient(-w, -h, w, horizon + 0.2, (172, 200, 224), (226, 236, 244))
    _hill(p, w, h, r, horizon, 0.1, _dim((218, 230, 242), night))
    _hill(p, w, h, r, horizon + 0.24, 0.06, _dim((242, 247, 252), night))
    for _ in range(int(26 * w)):
        p.circle(r.uniform(-w, w), r.uniform(-h, h), r.choice((0.014, 0.02, 0.028)), (255, 255, 255))


def space(p, w, h, r, night):
    upper, lower = r.choice((((8, 6, 22), (34, 16, 62)), ((4, 8, 20), (14, 26, 58)), ((16, 6, 30), (52, 14, 54))))
    p.gradient(-w, -h, w, h, upper, lower)
    tone = r.choice(((150, 60, 190), (60, 90, 210), (210, 70, 140)))
    for _ in range(6):
        p.ellipse(r.uniform(-w, w), r.uniform(-h, h), r.uniform(0.3, 0.7), r.uniform(0.15, 0.4), tone, 26)
    _stars(p, w, -h, h, r, 46, ((255, 255, 255), (190, 214, 255), (255, 226, 170)))
    for _ in range(int(2 * w) + 1):
        p.star(r.uniform(-w, w), r.uniform(-h, h), 0.06, (255, 255, 255), points=4, inner=0.25)


def street(p, w, h, r, night):
    kerb = 0.46
    _sky(p, w, h, r, night, kerb)
    x = -w - r.uniform(0, 0.3)
    while x < w:
        width, top = r.uniform(0.35, 0.6), r.uniform(-0.75, -0.1)
        wall = _dim(r.choice(((204, 150, 130), (190, 178, 160), (160, 170, 184), (216, 194, 150), (176, 140, 140))), night)
        p.rect(x, top, x + width - 0.02, kerb, wall)
        pane = (255, 226, 130) if night else (222, 236, 244)
        for row in range(int((kerb - 0.1 - top) / 0.2)):
            for column in range(int(width / 0.17)):
                if not night or r.random() < 0.6:
                    left, y = x + 0.05 + column * 0.16, top + 0.08 + row * 0.2
                    p.rect(left, y, left + 0.08, y + 0.1, pane)
        x += width
    p.rect(-w, kerb, w, h, _dim((176, 172, 168), night))
    p.rect(-w, kerb + 0.12, w, h, _dim((98, 100, 108), night))
    x = -w
    while x < w:
        p.rect(x, 0.9, x + 0.22, 0.94, _dim((240, 236, 220), night))
        x += 0.4


def room(p, w, h, r, night):
    wall = r.choice(((238, 222, 196), (206, 220, 206), (222, 206, 218), (200, 212, 226), (244, 232, 214)))
    floor = r.choice(((176, 122, 78), (150, 108, 76), (196, 150, 106)))
    edge = r.uniform(0.4, 0.55)
    p.rect(-w, -h, w, edge, wall)
    p.rect(-w, edge, w, h, floor)
    for i in range(1, 5):
        y = edge + i * 0.13
        p.line([(-w, y), (w, y)], 0.012, shade(floor, 0.85))
    p.rect(-w, edge - 0.05, w, edge + 0.015, (250, 248, 242))
    side = r.choice((-1, 1))
    x = side * r.uniform(0.45, 0.6)
    p.rect(x - 0.34, -0.82, x + 0.34, -0.1, (252, 250, 244))
    p.rect(x - 0.29, -0.77, x + 0.29, -0.15, (30, 40, 84) if night else (170, 214, 240))
    p.line([(x, -0.77), (x, -0.15)], 0.035, (252, 250, 244))
    p.line([(x - 0.29, -0.46), (x + 0.29, -0.46)], 0.035, (252, 250, 244))
    curtain = r.choice(((196, 90, 90), (90, 130, 170), (120, 150, 110)))
    p.rect(x - 0.44, -0.88, x - 0.27, 0.0, curtain, 0.03)
    p.rect(x + 0.27, -0.88, x + 0.44, 0.0, curtain, 0.03)
    p.rect(-x - 0.2, -0.66, -x + 0.2, -0.32, (120, 84, 54), 0.01)
    p.rect(-x - 0.16, -0.62, -x + 0.16, -0.36, r.choice(((226, 196, 150), (190, 206, 190))))
    p.ellipse(0, 0.84, 0.85, 0.14, shade(curtain, 1.35))


def plain(p, w, h, r, night):
    base = r.choice(((244, 240, 230), (226, 236, 240), (250, 228, 214), (228, 240, 224), (236, 228, 244), (214, 216, 220),
                     (96, 104, 120), (250, 244, 204)))
    p.gradient(-w, -h, w, h, base, shade(base, 0.93))


BACKGROUNDS = {"sky": sky, "sea": sea, "grass": grass, "desert": desert, "snow": snow, "space": space,
               "street": street, "room": room, "plain": plain}
