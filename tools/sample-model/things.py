"""The kinds of things, each drawn by one function (pen, colour, action, random) in its unit box.

`THINGS` maps a label to a `Thing`: its drawing, its words, whether it can be of any colour (its own
otherwise, which captions then do not name), what it may do, and where it may be.
"""

import dataclasses
import math

from pen import COLOURS, contrast, shade

WHITE, BLACK, GREY = COLOURS["white"], COLOURS["black"], COLOURS["grey"]
RED, YELLOW, BLUE, GREEN = (COLOURS[name] for name in ("red", "yellow", "blue", "green"))
ORANGE, BROWN, PINK = COLOURS["orange"], COLOURS["brown"], COLOURS["pink"]
DARK = (48, 44, 52)
GLASS = (190, 226, 244)
WOOD = (150, 100, 60)
LEAF = (52, 140, 66)
SKINS = [(250, 212, 178), (232, 184, 140), (186, 130, 90), (120, 78, 52)]
HAIRS = [(60, 40, 30), (30, 26, 28), (150, 90, 40), (226, 180, 80)]


# Animals on four legs, facing right

def _four_legged(p, c, act, *, rx=0.56, ry=0.28, leg=0.42, thick=0.15, head=0.27, reach=0.62,
                 rise=0.30, neck=0.26, tail=None, coat=None, face=None, hoof=None):
    """One skeleton: body, four legs by action, neck, head; coat and face add what is the animal's."""
    far, foot = shade(c, 0.75), hoof or shade(c, 0.6)
    if act == "sitting":
        p.path("M -0.75 0.98 C -0.85 0.45 -0.35 -0.05 0.05 -0.1 C 0.35 -0.1 0.42 0.4 0.30 0.98 Z", c)
        p.ellipse(-0.38, 0.76, 0.36, 0.24, far)
        p.line([(0.22, 0.2), (0.26, 0.93)], thick, c)
        p.line([(0.06, 0.3), (0.06, 0.93)], thick, far)
        if tail:
            p.line([(-0.62, 0.92), (-0.9, 0.9), (-1.0, 0.7)], tail[0], tail[1])
        p.line([(0.1, 0.0), (0.22, -0.25)], neck, c)
        p.canvas.save()
        p.canvas.translate(0.26, -0.36)
        if face:
            face(p, c)
        p.canvas.restore()
        return
    bottom = 1 - leg
    middle = bottom - ry * 0.75
    p.canvas.save()
    if act == "jumping":
        p.canvas.rotate(-20, 0, middle)
        strides = [(-0.40, -0.92), (-0.30, -0.74), (0.34, 0.80), (0.42, 0.94)]
        depth = 0.62
    elif act == "running":
        strides = [(-0.40, -0.86), (-0.30, -0.22), (0.34, 0.12), (0.42, 0.88)]
        depth = 0.88
    else:
        strides = [(-0.42, -0.46), (-0.24, -0.24), (0.26, 0.26), (0.42, 0.46)]
        depth = 1.0
    wide = rx / 0.56
    for index, (hip, end) in enumerate(strides):
        colour = far if index in (1, 2) else c
        knee = (hip + end) / 2 + (0.08 if act == "running" else 0)
        low = middle + (1 - thick / 2 - middle) * depth
        p.line([(hip * wide, middle), (knee * wide, (middle + low) / 2), (end * wide, low)], thick,
               colour)
        p.circle(end * wide, low, thick * 0.52, foot if index not in (1, 2) else shade(foot, 0.8))
    if tail:
        p.line([(-rx * 0.85, middle - 0.08), (-rx - 0.2, middle - tail[2] * 0.5),
                (-rx - 0.26, middle - tail[2])], tail[0], tail[1])
    hx, hy = reach, middle - rise
    p.line([(rx * 0.6, middle - 0.04), (hx - 0.06, hy + 0.06)], neck, c)
    p.ellipse(-0.02, middle, rx, ry, c)
    if coat:
        p.canvas.save()
        p.canvas.translate(0, middle)
        coat(p, c)
        p.canvas.restore()
    p.canvas.translate(hx, hy)
    if face:
        face(p, c)
    p.canvas.restore()


def _eye(p, x, y, r=0.045, colour=DARK):
    p.circle(x, y, r, WHITE)
    p.circle(x + r * 0.2, y, r * 0.68, colour)


def cat(p, c, act, r):
    def face(p, c):
        p.poly([(-0.29, -0.05), (-0.27, -0.50), (-0.02, -0.22)], c)
        p.poly([(0.29, -0.05), (0.27, -0.50), (0.02, -0.22)], c)
        p.poly([(-0.23, -0.18), (-0.23, -0.40), (-0.10, -0.24)], PINK)
        p.poly([(0.23, -0.18), (0.23, -0.40), (0.10, -0.24)], PINK)
        p.ellipse(0, 0, 0.33, 0.28, c)
        eye = (120, 190, 80)
        for x in (-0.13, 0.13):
            p.ellipse(x, -0.03, 0.065, 0.075, eye)
            p.ellipse(x, -0.03, 0.025, 0.065, DARK)
        p.poly([(-0.045, 0.08), (0.045, 0.08), (0, 0.135)], (230, 110, 130))
        whisker = contrast(c)
        for y in (0.08, 0.15):
            p.line([(-0.12, 0.1), (-0.42, y)], 0.018, whisker)
            p.line([(0.12, 0.1), (0.42, y)], 0.018, whisker)

    def coat(p, c):
        for x in (-0.32, -0.1, 0.12):
            p.line([(x, -0.22), (x + 0.03, 0.0)], 0.06, shade(c, 0.78))

    _four_legged(p, c, act, rx=0.5, ry=0.24, leg=0.36, thick=0.13, reach=0.58, rise=0.34,
                 neck=0.24, tail=(0.11, c, 0.62), coat=coat, face=face)


def dog(p, c, act, r):
    def face(p, c):
        p.ellipse(0, 0, 0.26, 0.25, c)
        p.rect(0.05, -0.06, 0.48, 0.17, shade(c, 1.3), 0.11)
        p.ellipse(0.45, -0.02, 0.07, 0.06, DARK)
        p.path("M 0.26 0.15 C 0.26 0.34 0.42 0.34 0.40 0.13 Z", (235, 100, 110))
        p.path("M -0.22 -0.16 C -0.42 -0.10 -0.40 0.34 -0.22 0.36 C -0.06 0.30 -0.06 0.0 -0.08 -0.20 Z",
               shade(c, 0.6))
        _eye(p, 0.10, -0.10, 0.055)

    def coat(p, c):
        p.line([(0.40, -0.22), (0.56, -0.02)], 0.07, RED if c != RED else BLUE)

    _four_legged(p, c, act, rx=0.54, ry=0.26, leg=0.42, thick=0.15, reach=0.56, rise=0.42,
                 neck=0.28, tail=(0.10, c, 0.36), coat=coat, face=face)


def horse(p, c, act, r):
    mane = contrast(c) if sum(c) < 250 else shade(c, 0.45)

    def face(p, c):
        with p.turned(38):
            p.ellipse(0.10, 0.0, 0.30, 0.15, c)
            p.ellipse(0.30, 0.02, 0.13, 0.12, shade(c, 1.25))
            _eye(p, 0.02, -0.04, 0.04)
        p.poly([(-0.14, -0.08), (-0.10, -0.36), (0.02, -0.12)], c)
        p.path("M -0.06 -0.22 C -0.36 -0.1 -0.46 0.3 -0.44 0.6 L -0.26 0.5 C -0.24 0.2 -0.1 0.0 0.0 -0.12 Z",
               mane)

    _four_legged(p, c, act, rx=0.56, ry=0.25, leg=0.62, thick=0.12, reach=0.66, rise=0.66,
                 neck=0.26, tail=(0.15, mane, -0.35), face=face, hoof=DARK)


def cow(p, c, act, r):
    def face(p, c):
        p.line([(-0.16, -0.18), (-0.24, -0.38)], 0.06, (235, 220, 180))
        p.line([(0.16, -0.18), (0.24, -0.38)], 0.06, (235, 220, 180))
        p.ellipse(-0.3, -0.1, 0.13, 0.07, DARK)
        p.ellipse(0.3, -0.1, 0.13, 0.07, DARK)
        p.ellipse(0, 0, 0.23, 0.26, WHITE)
        p.ellipse(0, 0.18, 0.24, 0.15, (244, 170, 180))
        p.circle(-0.08, 0.18, 0.03, DARK)
        p.circle(0.08, 0.18, 0.03, DARK)
        _eye(p, -0.09, -0.06)
        _eye(p, 0.09, -0.06)

    def coat(p, c):
        p.ellipse(-0.30, -0.08, 0.18, 0.15, DARK)
        p.ellipse(0.12, 0.06, 0.20, 0.14, DARK)
        p.ellipse(-0.1, 0.24, 0.12, 0.08, DARK)
        p.ellipse(-0.22, 0.34, 0.14, 0.09, (244, 170, 180))

    _four_legged(p, WHITE, act, rx=0.64, ry=0.34, leg=0.42, thick=0.15, reach=0.66, rise=0.34,
                 neck=0.3, tail=(0.05, DARK, -0.25), coat=coat, face=face, hoof=DARK)


def sheep(p, c, act, r):
    wool = (244, 240, 230)
    for x in (-0.36, -0.16, 0.18, 0.36):
        p.line([(x, 0.5), (x, 0.95)], 0.11, DARK)
    for i in range(12):
        angle = math.tau * i / 12
        p.circle(-0.02 + 0.5 * math.cos(angle), 0.22 + 0.30 * math.sin(angle), 0.2, wool)
    p.ellipse(-0.02, 0.22, 0.5, 0.32, wool)
    for x, y in ((-0.3, 0.15), (0.0, 0.35), (0.1, 0.05)):
        p.ring(x, y, 0.09, 0.07, 0.025, shade(wool, 0.86))
    p.ellipse(0.46, 0.02, 0.12, 0.07, DARK)
    p.ellipse(0.68, 0.12, 0.19, 0.25, (62, 56, 60))
    p.circle(0.62, -0.1, 0.16, wool)
    _eye(p, 0.72, 0.08)


def pig(p, c, act, r):
    c = (246, 164, 180)
    def face(p, c):
        p.poly([(-0.25, -0.1), (-0.25, -0.4), (0.0, -0.22)], shade(c, 0.85))
        p.poly([(0.25, -0.1), (0.25, -0.4), (0.0, -0.22)], shade(c, 0.85))
        p.ellipse(0, 0, 0.28, 0.26, c)
        p.ellipse(0.08, 0.08, 0.16, 0.12, shade(c, 0.82))
        p.circle(0.03, 0.08, 0.035, shade(c, 0.5))
        p.circle(0.13, 0.08, 0.035, shade(c, 0.5))
        _eye(p, -0.06, -0.09)
        _eye(p, 0.14, -0.09)
    _four_legged(p, c, act, rx=0.66, ry=0.40, leg=0.26, thick=0.18, reach=0.58, rise=0.12,
                 neck=0.3, tail=(0.06, shade(c, 0.8), 0.3), face=face)


def elephant(p, c, act, r):
    c = (150, 156, 170)
    for x, tone in ((-0.42, 0.75), (0.22, 0.75), (-0.60, 1), (0.05, 1)):
        p.rect(x, 0.25, x + 0.26, 1.0, shade(c, tone), 0.08)
    p.ellipse(-0.15, 0.08, 0.68, 0.50, c)
    p.line([(-0.8, 0.0), (-0.92, 0.45)], 0.06, shade(c, 0.8))
    p.circle(0.48, -0.12, 0.36, c)
    p.stroke("M 0.72 -0.05 C 0.98 0.2 0.72 0.6 0.96 0.72", 0.2, c)
    p.path("M 0.60 0.16 L 0.92 0.34 L 0.66 0.28 Z", (250, 246, 230))
    p.ellipse(0.24, -0.12, 0.26, 0.38, shade(c, 0.84))
    p.ellipse(0.25, -0.12, 0.17, 0.27, (226, 176, 186))
    _eye(p, 0.60, -0.20)


def rabbit(p, c, act, r):
    y = -0.0
    p.ellipse(-0.15, 0.58, 0.46, 0.36, c)
    p.circle(-0.62, 0.62, 0.14, WHITE if c != WHITE else shade(WHITE, 0.88))
    p.ellipse(-0.2, 0.92, 0.34, 0.1, shade(c, 0.82))
    p.ellipse(0.28, 0.9, 0.16, 0.09, shade(c, 0.82))
    for x, turn in ((0.14, -12), (0.36, 8)):
        with p.turned(turn, x, 0.0):
            p.ellipse(x, -0.44, 0.11, 0.46, c)
            p.ellipse(x, -0.42, 0.055, 0.36, (246, 176, 190))
    p.ellipse(0.28, 0.18, 0.30, 0.28, c)
    p.ellipse(0.5, 0.22, 0.05, 0.04, (230, 100, 120))
    _eye(p, 0.33, 0.12, 0.06)


def bird(p, c, act, r):
    p.poly([(-0.55, 0.15), (-1.0, -0.05), (-0.95, 0.3)], shade(c, 0.75))
    p.ellipse(-0.05, 0.2, 0.55, 0.36, c)
    p.ellipse(0.05, 0.32, 0.36, 0.22, shade(c, 1.5))
    p.circle(0.45, -0.12, 0.28, c)
    p.poly([(0.68, -0.2), (1.0, -0.06), (0.66, 0.04)], ORANGE if c not in (ORANGE, YELLOW) else DARK)
    if act == "flying":
        p.path("M -0.25 0.15 C -0.6 -0.5 -0.55 -0.85 -0.7 -1.0 C -0.1 -0.8 0.2 -0.3 0.2 0.1 Z",
               shade(c, 0.7))
    else:
        p.path("M -0.45 0.1 C -0.2 -0.1 0.15 0.0 0.2 0.2 C 0.0 0.5 -0.3 0.4 -0.6 0.3 Z", shade(c, 0.7))
        p.line([(-0.05, 0.52), (-0.05, 0.98), (0.1, 0.98)], 0.05, ORANGE)
        p.line([(0.15, 0.52), (0.15, 0.98), (0.3, 0.98)], 0.05, ORANGE)
    _eye(p, 0.52, -0.18, 0.06)


def duck(p, c, act, r):
    p.path("M -0.95 0.1 C -0.7 0.3 -0.4 0.1 -0.1 0.2 C 0.3 0.3 0.6 0.3 0.6 0.55 "
           "C 0.55 1.05 -0.75 1.1 -0.95 0.1 Z", c)
    p.path("M 0.1 0.5 L 0.22 -0.4 L 0.6 -0.2 L 0.6 0.6 Z", c)
    p.path("M -0.6 0.42 C -0.3 0.3 0.1 0.35 0.2 0.5 C 0.1 0.8 -0.3 0.8 -0.6 0.42 Z", shade(c, 0.8))
    p.circle(0.42, -0.36, 0.32, c)
    p.path("M 0.66 -0.42 C 0.8 -0.4 0.9 -0.36 1.0 -0.28 C 0.9 -0.18 0.75 -0.2 0.64 -0.2 Z",
           ORANGE if c != ORANGE else DARK)
    _eye(p, 0.5, -0.44, 0.065)


def fish(p, c, act, r):
    p.poly([(-0.5, 0.1), (-1.0, -0.35), (-0.9, 0.1), (-1.0, 0.55)], shade(c, 0.78))
    p.path("M -0.3 -0.25 C -0.1 -0.75 0.35 -0.65 0.45 -0.3 Z", shade(c, 0.78))
    p.path("M -0.2 0.4 C -0.1 0.75 0.2 0.7 0.2 0.4 Z", shade(c, 0.78))
    p.path("M -0.65 0.1 C -0.3 -0.55 0.6 -0.6 0.98 0.08 C 0.6 0.72 -0.3 0.72 -0.65 0.1 Z", c)
    for x in (-0.2, 0.12):
        p.line([(x, -0.22), (x + 0.1, 0.1), (x, 0.42)], 0.09, contrast(c))
    p.poly([(0.2, 0.12), (-0.05, 0.3), (0.15, 0.36)], shade(c, 0.7))
    _eye(p, 0.64, -0.06, 0.1)


def butterfly(p, c, act, r):
    spot = contrast(c)
    for side in (-1, 1):
        p.canvas.save()
        p.canvas.scale(side, 1)
        p.path("M 0.04 0.0 C 0.3 -0.9 1.0 -0.95 0.98 -0.45 C 0.95 0.0 0.4 0.1 0.04 0.0 Z", c)
        p.path("M 0.04 0.05 C 0.5 0.05 0.85 0.3 0.75 0.65 C 0.6 1.0 0.15 0.6 0.04 0.05 Z",
               shade(c, 0.8))
        p.circle(0.68, -0.46, 0.15, spot)
        p.circle(0.48, 0.48, 0.11, spot)
        p.stroke("M 0.02 -0.3 Q 0.1 -0.6 0.24 -0.74", 0.035, DARK)
        p.canvas.restore()
    p.ellipse(0, 0.08, 0.075, 0.48, DARK)


def snake(p, c, act, r):
    body = "M -0.95 0.8 C -0.8 0.3 -0.5 0.3 -0.35 0.7 C -0.2 1.0 0.1 1.0 0.15 0.6 C 0.2 0.1 0.3 -0.1 0.5 -0.3"
    p.stroke(body, 0.26, c)
    p.stroke(body, 0.07, contrast(c))
    p.ellipse(0.6, -0.4, 0.3, 0.2, c)
    p.line([(0.88, -0.38), (1.0, -0.42)], 0.03, RED)
    _eye(p, 0.66, -0.46, 0.06)


def turtle(p, c, act, r):
    skin = (140, 170, 80)
    for x in (-0.5, 0.35):
        p.ellipse(x, 0.84, 0.17, 0.16, shade(skin, 0.8))
    p.poly([(-0.7, 0.7), (-1.0, 0.8), (-0.7, 0.85)], skin)
    p.ellipse(0.78, 0.36, 0.22, 0.18, skin)
    p.line([(0.5, 0.65), (0.7, 0.45)], 0.2, skin)
    p.path("M -0.8 0.78 C -0.8 -0.35 0.62 -0.35 0.62 0.78 Z", (74, 122, 62))
    p.rect(-0.84, 0.68, 0.66, 0.82, (170, 150, 80), 0.06)
    for x, y in ((-0.45, 0.45), (-0.1, 0.2), (0.25, 0.45), (-0.1, 0.56)):
        p.circle(x, y, 0.13, (108, 160, 84))
    _eye(p, 0.84, 0.3, 0.045)


def frog(p, c, act, r):
    c = (96, 184, 70)
    p.ellipse(-0.5, 0.62, 0.4, 0.3, shade(c, 0.8))
    p.ellipse(0.5, 0.62, 0.4, 0.3, shade(c, 0.8))
    p.ellipse(0, 0.45, 0.58, 0.5, c)
    p.ellipse(0, 0.62, 0.38, 0.3, (210, 235, 160))
    for x in (-0.34, 0.34):
        p.circle(x, -0.2, 0.24, c)
        p.circle(x, -0.22, 0.15, WHITE)
        p.circle(x, -0.22, 0.08, DARK)
    p.ellipse(0, 0.06, 0.56, 0.34, c)
    p.stroke("M -0.36 0.12 Q 0 0.36 0.36 0.12", 0.05, shade(c, 0.45))
    for x in (-0.6, 0.6):
        p.ellipse(x, 0.93, 0.3, 0.08, shade(c, 0.8))


def penguin(p, c, act, r):
    p.ellipse(-0.22, 0.95, 0.2, 0.08, ORANGE)
    p.ellipse(0.22, 0.95, 0.2, 0.08, ORANGE)
    for side in (-1, 1):
        p.poly([(side * 0.4, -0.2), (side * 0.74, 0.45), (side * 0.42, 0.4)], (28, 32, 44))
    p.ellipse(0, 0.2, 0.52, 0.76, (38, 42, 56))
    p.circle(0, -0.56, 0.4, (38, 42, 56))
    p.ellipse(0, 0.32, 0.36, 0.58, WHITE)
    p.circle(-0.14, -0.52, 0.17, WHITE)
    p.circle(0.14, -0.52, 0.17, WHITE)
    p.circle(-0.12, -0.55, 0.06, DARK)
    p.circle(0.12, -0.55, 0.06, DARK)
    p.poly([(-0.12, -0.42), (0.12, -0.42), (0, -0.24)], ORANGE)


def whale(p, c, act, r):
    c = (70, 120, 180)
    p.stroke("M 0.3 -0.4 C 0.3 -0.7 0.1 -0.9 -0.05 -0.75", 0.07, (214, 240, 252))
    p.stroke("M 0.3 -0.4 C 0.3 -0.7 0.5 -0.9 0.65 -0.75", 0.07, (214, 240, 252))
    p.path("M -0.6 0.2 C -0.9 0.1 -0.8 -0.3 -1.0 -0.45 C -0.75 -0.5 -0.7 -0.2 -0.62 -0.1 "
           "C -0.6 -0.3 -0.5 -0.45 -0.3 -0.4 C -0.5 -0.2 -0.4 0.1 -0.3 0.3 Z", c)
    p.path("M -0.75 0.0 C -0.4 0.4 -0.2 -0.35 0.35 -0.35 C 0.9 -0.3 1.05 0.3 0.95 0.6 "
           "C 0.6 1.0 -0.4 0.9 -0.75 0.0 Z", c)
    p.path("M 0.98 0.45 C 0.6 0.55 0.2 0.5 -0.05 0.72 C 0.3 0.95 0.8 0.85 0.95 0.6 Z", (214, 230, 240))
    _eye(p, 0.62, 0.2, 0.06)


def owl(p, c, act, r):
    p.poly([(-0.46, -0.4), (-0.5, -1.0), (-0.1, -0.7)], c)
    p.poly([(0.46, -0.4), (0.5, -1.0), (0.1, -0.7)], c)
    p.ellipse(0, 0.1, 0.56, 0.86, c)
    p.ellipse(0, 0.42, 0.36, 0.5, shade(c, 1.45))
    p.ellipse(-0.52, 0.28, 0.15, 0.46, shade(c, 0.7))
    p.ellipse(0.52, 0.28, 0.15, 0.46, shade(c, 0.7))
    for x in (-0.23, 0.23):
        p.circle(x, -0.34, 0.25, WHITE)
        p.circle(x, -0.34, 0.17, (250, 190, 40))
        p.circle(x, -0.34, 0.1, DARK)
    p.poly([(-0.1, -0.2), (0.1, -0.2), (0, 0.04)], ORANGE)
    p.line([(-0.2, 0.95), (-0.1, 0.95)], 0.09, ORANGE)
    p.line([(0.1, 0.95), (0.2, 0.95)], 0.09, ORANGE)


# People: poses are joints; clothes carry the colour

_POSES = {  # hip height, torso lean, (knee, foot) twice, (elbow, hand) twice, relative to the hip
    None: (0.28, 0, ((-0.10, 0.34), (-0.12, 0.68)), ((0.10, 0.34), (0.12, 0.68)),
           ((-0.30, -0.28), (-0.32, 0.02)), ((0.30, -0.28), (0.32, 0.02))),
    "jumping": (0.22, 0, ((-0.34, 0.16), (-0.52, 0.46)), ((0.34, 0.16), (0.52, 0.46)),
                ((-0.40, -0.66), (-0.56, -1.02)), ((0.40, -0.66), (0.56, -1.02))),
    "running": (0.26, 0.20, ((0.36, 0.18), (0.34, 0.54)), ((-0.18, 0.34), (-0.62, 0.36)),
                ((-0.22, -0.30), (-0.34, -0.06)), ((0.44, -0.26), (0.66, -0.46))),
    "sitting": (0.50, 0, ((0.42, -0.02), (0.42, 0.44)), ((0.36, 0.06), (0.36, 0.46)),
                ((0.10, -0.20), (0.36, -0.10)), ((0.06, -0.16), (0.30, -0.06))),
}


def _person(p, c, act, r, *, woman=False, child=False):
    skin, hair = r.choice(SKINS), r.choice(HAIRS)
    trousers = r.choice([(58, 70, 110), (70, 66, 64), (96, 80, 62)])
    if sum(abs(a - b) for a, b in zip(trousers, c)) < 110:
        trousers = (196, 186, 168)
    hip, lean, leg1, leg2, arm1, arm2 = _POSES[act]
    grow = 0.30 if child else 0.22
    neck = (lean, hip - 0.62)
    head = (lean * 1.5, hip - 0.66 - grow * 1.0)
    wide = 0.13
    at = lambda point: (point[0], hip + point[1])
    legs = skin if woman else trousers
    if act == "sitting":
        p.rect(-0.34, hip + 0.06, 0.22, hip + 0.16, WOOD, 0.03)
        p.line([(-0.27, hip + 0.14), (-0.27, 0.97)], 0.07, WOOD)
        p.line([(0.14, hip + 0.14), (0.14, 0.97)], 0.07, WOOD)
        p.line([(-0.32, hip + 0.1), (-0.34, hip - 0.5)], 0.07, WOOD)
    p.line([(neck[0], neck[1] + 0.1), at(arm1[0]), at(arm1[1])], wide * 0.85, shade(c, 0.8))
    p.circle(*at(arm1[1]), wide * 0.5, skin)
    if woman:
        p.path("M %f %f C %f %f %f %f %f %f L %f %f C %f %f %f %f %f %f Z" % (
            head[0] - grow * 1.15, head[1], head[0] - grow * 1.2, head[1] - grow * 1.6,
            head[0] + grow * 1.2, head[1] - grow * 1.6, head[0] + grow * 1.15, head[1],
            head[0] + grow * 1.25, neck[1] + 0.24,
            head[0] + grow * 0.5, neck[1] + 0.3, head[0] - grow * 0.5, neck[1] + 0.3,
            head[0] - grow * 1.25, neck[1] + 0.24), hair)
    for joint, tone in ((leg2, 0.8), (leg1, 1)):
        p.line([(0, hip), at(joint[0]), at(joint[1])], wide * (0.85 if woman else 1.15),
               shade(legs, tone))
        x, y = at(joint[1])
        p.ellipse(x + 0.05, y + 0.02, 0.12, 0.06, DARK)
    p.line([neck, (neck[0], neck[1] + 0.1)], 0.11, shade(skin, 0.9))
    x0, x1 = neck[0], 0
    if woman:
        p.poly([(x0 - 0.18, neck[1] + 0.06), (x0 + 0.18, neck[1] + 0.06), (x1 + 0.14, hip - 0.12),
                (x1 + 0.36 + (0.08 if act == "sitting" else 0), hip + 0.24),
                (x1 - 0.36 + (0.14 if act == "sitting" else 0), hip + 0.24), (x1 - 0.14, hip - 0.12)], c)
    else:
        p.poly([(x0 - 0.23, neck[1] + 0.06), (x0 + 0.23, neck[1] + 0.06), (x1 + 0.18, hip + 0.06),
                (x1 - 0.18, hip + 0.06)], c)
    p.circle(x0, neck[1] + 0.11, 0.12, c)
    p.line([(neck[0] + 0.14, neck[1] + 0.12), at(arm2[0]), at(arm2[1])], wide * 0.85, shade(c, 0.9))
    p.circle(*at(arm2[1]), wide * 0.5, skin)
    p.circle(*head, grow, skin)
    for x in (-0.35, 0.35):
        p.circle(head[0] + grow * (x + 0.05), head[1] - 0.02, 0.028, DARK)
    p.stroke("M %f %f Q %f %f %f %f" % (
        head[0] - grow * 0.3, head[1] + grow * 0.4, head[0] + grow * 0.05, head[1] + grow * 0.7,
        head[0] + grow * 0.4, head[1] + grow * 0.4), 0.03, (170, 60, 60))
    top = head[1] - grow
    if child:
        p.path("M %f %f C %f %f %f %f %f %f L %f %f L %f %f Z" % (
            head[0] - grow, head[1] - grow * 0.25, head[0] - grow, top - grow * 0.5,
            head[0] + grow, top - grow * 0.5, head[0] + grow, head[1] - grow * 0.25,
            head[0] + grow * 1.5, head[1] - grow * 0.12, head[0], head[1] - grow * 0.25), c)
    else:
        p.path("M %f %f C %f %f %f %f %f %f C %f %f %f %f %f %f Z" % (
            head[0] - grow, head[1] - grow * 0.1, head[0] - grow, top - grow * 0.4,
            head[0] + grow, top - grow * 0.4, head[0] + grow, head[1] - grow * 0.1,
            head[0] + grow * 0.5, head[1] - grow * 0.7, head[0] - grow * 0.4, head[1] - grow * 0.7,
            head[0] - grow, head[1] - grow * 0.1), hair)


def man(p, c, act, r):
    _person(p, c, act, r)


def woman(p, c, act, r):
    _person(p, c, act, r, woman=True)


def child(p, c, act, r):
    p.canvas.save()
    p.canvas.translate(0, 0.16)
    p.canvas.scale(0.84, 0.84)
    _person(p, c, act, r, child=True)
    p.canvas.restore()


def astronaut(p, c, act, r):
    suit = (236, 238, 242)
    p.rect(-0.44, -0.32, 0.44, 0.35, (150, 156, 168), 0.1)
    p.line([(-0.15, 0.35), (-0.24, 0.86)], 0.24, suit)
    p.line([(0.15, 0.35), (0.24, 0.86)], 0.24, suit)
    p.line([(-0.3, -0.12), (-0.66, 0.16)], 0.2, suit)
    p.line([(0.3, -0.12), (0.66, -0.36)], 0.2, suit)
    p.rect(-0.34, -0.3, 0.34, 0.48, suit, 0.14)
    p.rect(-0.16, 0.02, 0.16, 0.22, (90, 120, 190), 0.03)
    p.circle(0.08, 0.12, 0.05, RED)
    p.circle(0, -0.58, 0.4, suit)
    p.ellipse(0.03, -0.56, 0.29, 0.25, (50, 66, 110))
    p.ellipse(0.12, -0.64, 0.1, 0.06, (170, 200, 250))
    for x in (-0.26, 0.26):
        p.ellipse(x, 0.93, 0.17, 0.08, (150, 156, 168))


def robot(p, c, act, r):
    p.line([(0, -0.7), (0, -0.95)], 0.05, DARK)
    p.circle(0, -0.93, 0.08, RED)
    p.line([(-0.4, 0.0), (-0.72, 0.3)], 0.13, shade(c, 0.7))
    p.line([(0.4, 0.0), (0.72, 0.3)], 0.13, shade(c, 0.7))
    p.circle(-0.74, 0.34, 0.11, DARK)
    p.circle(0.74, 0.34, 0.11, DARK)
    p.rect(-0.32, 0.5, -0.08, 0.98, shade(c, 0.7), 0.04)
    p.rect(0.08, 0.5, 0.32, 0.98, shade(c, 0.7), 0.04)
    p.rect(-0.44, -0.14, 0.44, 0.62, c, 0.06)
    p.rect(-0.36, -0.74, 0.36, -0.2, c, 0.08)
    for x in (-0.16, 0.16):
        p.circle(x, -0.52, 0.1, (250, 250, 200))
        p.circle(x, -0.52, 0.05, DARK)
    p.rect(-0.18, -0.36, 0.18, -0.28, DARK)
    for x, tone in ((-0.2, RED), (0, YELLOW), (0.2, BLUE)):
        p.circle(x, 0.16, 0.075, tone)


def snowman(p, c, act, r):
    snow, rim = (250, 252, 255), (206, 218, 236)
    p.line([(-0.3, -0.05), (-0.85, -0.35)], 0.05, WOOD)
    p.line([(0.3, -0.05), (0.85, -0.35)], 0.05, WOOD)
    for y, size in ((0.55, 0.46), (-0.05, 0.34), (-0.5, 0.26)):
        p.circle(0, y, size, rim)
        p.circle(0.02, y - 0.02, size * 0.94, snow)
    p.rect(-0.32, -0.28, 0.32, -0.16, RED, 0.05)
    p.rect(0.1, -0.2, 0.24, 0.2, RED, 0.04)
    p.rect(-0.36, -0.76, 0.36, -0.69, DARK)
    p.rect(-0.22, -1.0, 0.22, -0.7, DARK)
    p.circle(-0.09, -0.54, 0.035, DARK)
    p.circle(0.09, -0.54, 0.035, DARK)
    p.poly([(0, -0.49), (0.3, -0.42), (0, -0.41)], ORANGE)
    for y in (0.05, 0.4, 0.62):
        p.circle(0, y, 0.04, DARK)


# Vehicles

def _wheel(p, x, y, r):
    p.circle(x, y, r, DARK)
    p.circle(x, y, r * 0.5, (196, 200, 206))


def car(p, c, act, r):
    p.path("M -0.55 0.3 C -0.45 -0.15 -0.3 -0.2 0.0 -0.2 C 0.3 -0.2 0.4 0.0 0.55 0.3 Z", c)
    p.path("M -0.42 0.27 C -0.35 -0.05 -0.28 -0.1 -0.04 -0.1 L -0.04 0.27 Z", GLASS)
    p.path("M 0.04 0.27 L 0.04 -0.1 C 0.25 -0.1 0.3 0.05 0.42 0.27 Z", GLASS)
    p.rect(-0.98, 0.25, 0.98, 0.75, c, 0.16)
    p.rect(-0.98, 0.56, 0.98, 0.72, shade(c, 0.72), 0.08)
    p.ellipse(0.92, 0.42, 0.07, 0.09, (255, 240, 170))
    p.rect(-0.98, 0.36, -0.9, 0.5, (180, 40, 40), 0.02)
    _wheel(p, -0.54, 0.76, 0.24)
    _wheel(p, 0.54, 0.76, 0.24)


def bus(p, c, act, r):
    p.rect(-1.0, -0.5, 1.0, 0.76, c, 0.12)
    for i in range(5):
        p.rect(-0.9 + i * 0.34, -0.34, -0.63 + i * 0.34, 0.06, GLASS, 0.04)
    p.rect(0.8, -0.34, 0.98, 0.2, GLASS, 0.04)
    p.rect(-1.0, 0.24, 1.0, 0.34, contrast(c))
    _wheel(p, -0.56, 0.77, 0.22)
    _wheel(p, 0.56, 0.77, 0.22)


def truck(p, c, act, r):
    p.rect(-1.0, -0.5, 0.3, 0.62, (222, 222, 216), 0.03)
    for x in (-0.7, -0.35, 0.0):
        p.line([(x, -0.42), (x, 0.54)], 0.03, (190, 190, 186))
    p.path("M 0.34 0.7 L 0.34 -0.2 L 0.72 -0.2 L 0.98 0.2 L 1.0 0.7 Z", c)
    p.poly([(0.46, 0.18), (0.46, -0.1), (0.68, -0.1), (0.86, 0.18)], GLASS)
    p.rect(-1.0, 0.6, 1.0, 0.72, shade(c, 0.6))
    for x in (-0.7, -0.25, 0.66):
        _wheel(p, x, 0.78, 0.21)


def train(p, c, act, r):
    p.line([(-1.0, 0.97), (1.0, 0.97)], 0.06, (110, 90, 80))
    for x, y, size in ((0.5, -0.72, 0.16), (0.28, -0.86, 0.14), (0.08, -0.92, 0.1)):
        p.circle(x, y, size, (226, 226, 230))
    p.rect(0.44, -0.5, 0.64, 0.0, shade(c, 0.6))
    p.rect(-0.2, -0.06, 0.9, 0.6, c, 0.14)
    p.rect(-0.8, -0.5, -0.12, 0.6, shade(c, 0.85))
    p.rect(-0.9, -0.62, -0.02, -0.48, DARK, 0.04)
    p.rect(-0.64, -0.36, -0.28, 0.02, GLASS)
    p.rect(0.1, -0.18, 0.3, -0.04, YELLOW)
    p.circle(0.9, 0.25, 0.11, (255, 236, 150))
    p.rect(-0.86, 0.56, 0.96, 0.68, DARK)
    p.poly([(0.9, 0.9), (0.9, 0.6), (1.0, 0.9)], shade(c, 0.6))
    for x, size in ((-0.58, 0.24), (-0.02, 0.18), (0.36, 0.18), (0.72, 0.18)):
        p.circle(x, 0.94 - size, size, RED if c != RED else YELLOW)
        p.circle(x, 0.94 - size, size * 0.4, DARK)


def bicycle(p, c, act, r):
    for x in (-0.55, 0.55):
        p.ring(x, 0.55, 0.4, 0.4, 0.085, DARK)
        p.circle(x, 0.55, 0.06, GREY)
    p.line([(-0.55, 0.55), (-0.2, 0.0), (0.35, 0.0), (-0.05, 0.55), (-0.55, 0.55)], 0.085, c)
    p.line([(-0.26, -0.14), (-0.05, 0.55)], 0.085, c)
    p.line([(0.55, 0.55), (0.3, -0.3)], 0.085, c)
    p.line([(0.14, -0.34), (0.32, -0.32), (0.46, -0.24)], 0.07, DARK)
    p.line([(-0.42, -0.16), (-0.14, -0.16)], 0.1, DARK)


def boat(p, c, act, r):
    p.line([(0, 0.5), (0, -0.98)], 0.06, WOOD)
    p.poly([(0.06, -0.95), (0.06, 0.35), (0.8, 0.35)], (250, 248, 240))
    p.poly([(-0.06, -0.7), (-0.06, 0.35), (-0.6, 0.35)], (232, 228, 216))
    p.path("M -0.95 0.46 L 0.98 0.46 C 0.85 0.8 0.7 0.98 0.55 0.98 L -0.6 0.98 C -0.8 0.9 -0.9 0.7 -0.95 0.46 Z", c)
    p.path("M -0.95 0.46 L 0.98 0.46 L 0.94 0.58 L -0.92 0.58 Z", contrast(c))


def airplane(p, c, act, r):
    p.poly([(-0.75, 0.0), (-1.0, -0.6), (-0.72, -0.6), (-0.4, -0.05)], shade(c, 0.75))
    p.poly([(0.1, -0.05), (-0.3, -0.62), (-0.06, -0.62), (0.42, -0.05)], shade(c, 0.7))
    p.path("M -0.9 0.0 C -0.7 -0.25 0.5 -0.26 0.75 -0.2 C 1.02 -0.1 1.02 0.15 0.75 0.22 "
           "C 0.4 0.26 -0.6 0.2 -0.9 0.0 Z", c)
    p.poly([(0.15, 0.1), (-0.5, 0.8), (-0.2, 0.8), (0.5, 0.1)], shade(c, 0.8))
    for i in range(5):
        p.circle(-0.35 + i * 0.2, -0.04, 0.055, GLASS)
    p.path("M 0.7 -0.18 C 0.85 -0.14 0.92 -0.06 0.94 0.0 L 0.7 0.0 Z", GLASS)


def helicopter(p, c, act, r):
    p.line([(-0.2, 0.05), (-0.95, -0.15)], 0.13, c)
    p.line([(-0.95, -0.4), (-0.95, 0.1)], 0.06, DARK)
    p.ellipse(0.2, 0.15, 0.52, 0.4, c)
    p.path("M 0.3 -0.2 C 0.6 -0.16 0.74 0.05 0.7 0.22 L 0.3 0.22 Z", GLASS)
    p.line([(0.15, -0.2), (0.15, -0.42)], 0.07, DARK)
    p.line([(-0.7, -0.44), (1.0, -0.44)], 0.07, DARK)
    p.line([(-0.05, 0.5), (-0.1, 0.75)], 0.05, DARK)
    p.line([(0.4, 0.5), (0.45, 0.75)], 0.05, DARK)
    p.line([(-0.35, 0.77), (0.75, 0.77)], 0.07, DARK)


def rocket(p, c, act, r):
    p.path("M -0.2 0.6 C -0.3 0.85 -0.05 0.85 0.0 1.0 C 0.05 0.85 0.3 0.85 0.2 0.6 Z", ORANGE)
    p.path("M -0.1 0.6 C -0.12 0.75 0.0 0.78 0.0 0.86 C 0.0 0.78 0.12 0.75 0.1 0.6 Z", YELLOW)
    p.poly([(-0.26, 0.1), (-0.56, 0.66), (-0.2, 0.55)], c)
    p.poly([(0.26, 0.1), (0.56, 0.66), (0.2, 0.55)], c)
    p.path("M 0.0 -1.0 C 0.4 -0.6 0.4 0.2 0.24 0.6 L -0.24 0.6 C -0.4 0.2 -0.4 -0.6 0.0 -1.0 Z",
           (236, 238, 242) if c != WHITE else (206, 210, 222))
    p.path("M 0.0 -1.0 C 0.17 -0.83 0.26 -0.65 0.29 -0.48 L -0.29 -0.48 C -0.26 -0.65 -0.17 -0.83 0.0 -1.0 Z", c)
    p.circle(0, -0.16, 0.17, c)
    p.circle(0, -0.16, 0.11, GLASS)
    p.poly([(-0.05, 0.2), (0.05, 0.2), (0.05, 0.68), (-0.05, 0.68)], shade(c, 0.8))


def hot_air_balloon(p, c, act, r):
    other = contrast(c)
    p.line([(-0.32, 0.2), (-0.14, 0.7)], 0.03, WOOD)
    p.line([(0.32, 0.2), (0.14, 0.7)], 0.03, WOOD)
    shape = ("M 0.0 0.46 C -0.2 0.4 -0.72 0.0 -0.7 -0.36 C -0.66 -1.2 0.66 -1.2 0.7 -0.36 "
             "C 0.72 0.0 0.2 0.4 0.0 0.46 Z")
    p.path(shape, c)
    p.path("M 0.0 0.46 C -0.12 0.3 -0.3 0.0 -0.3 -0.36 C -0.28 -1.16 0.28 -1.16 0.3 -0.36 C 0.3 0.0 0.12 0.3 0.0 0.46 Z",
           other)
    p.path("M 0.0 0.46 C -0.04 0.3 -0.1 0.0 -0.1 -0.36 C -0.1 -1.12 0.1 -1.12 0.1 -0.36 C 0.1 0.0 0.04 0.3 0.0 0.46 Z", c)
    p.rect(-0.17, 0.68, 0.17, 0.98, WOOD, 0.04)


def ufo(p, c, act, r):
    p.poly([(-0.3, 0.2), (0.3, 0.2), (0.6, 1.0), (-0.6, 1.0)], (250, 250, 170), 120)
    p.path("M -0.45 -0.05 C -0.45 -0.7 0.45 -0.7 0.45 -0.05 Z", (170, 236, 216))
    p.circle(0, -0.22, 0.15, (90, 190, 90))
    p.ellipse(0, 0.05, 0.95, 0.25, (150, 156, 176))
    p.ellipse(0, -0.02, 0.8, 0.15, (186, 192, 210))
    for x in (-0.62, -0.22, 0.22, 0.62):
        p.circle(x, 0.1, 0.075, YELLOW)


# Plants

def tree(p, c, act, r):
    p.path("M -0.14 1.0 C -0.08 0.6 -0.08 0.3 -0.08 0.0 L 0.08 0.0 C 0.08 0.3 0.08 0.6 0.14 1.0 Z", (120, 80, 50))
    for x, y, size, tone in ((-0.38, -0.12, 0.36, 0.85), (0.4, -0.1, 0.36, 0.85), (0.0, -0.05, 0.4, 0.92),
                             (-0.2, -0.5, 0.38, 1), (0.22, -0.48, 0.38, 1), (0.0, -0.66, 0.32, 1.1)):
        p.circle(x, y, size, shade(c, tone))


def pine(p, c, act, r):
    p.rect(-0.1, 0.6, 0.1, 1.0, (110, 74, 48))
    for y, width, tone in ((0.72, 0.66, 0.8), (0.3, 0.54, 0.9), (-0.14, 0.42, 1)):
        p.poly([(-width, y), (width, y), (0, y - 0.84)], shade((34, 112, 74), tone))


def palm(p, c, act, r):
    p.stroke("M -0.1 1.0 Q 0.02 0.4 0.1 -0.3", 0.15, (156, 112, 66))
    for x, y, bend in ((-0.9, 0.0, -0.9), (-0.75, -0.7, -0.95), (0.1, -1.0, -0.8), (0.95, -0.6, -0.95),
                       (0.95, 0.1, -0.9), (0.6, 0.35, -0.5), (-0.5, 0.35, -0.5)):
        p.path("M 0.1 -0.3 Q %f %f %f %f Q %f %f 0.1 -0.3 Z" % (
            x * 0.4, bend, x, y, x * 0.6, bend * 0.45 - 0.05), (50, 150, 70))
    p.circle(0.02, -0.22, 0.09, (110, 70, 40))
    p.circle(0.2, -0.2, 0.09, (110, 70, 40))


def flower(p, c, act, r):
    p.line([(0, -0.2), (0, 1.0)], 0.08, LEAF)
    p.path("M 0.0 0.8 C 0.2 0.4 0.5 0.4 0.6 0.45 C 0.5 0.7 0.3 0.8 0.0 0.8 Z", LEAF)
    p.path("M 0.0 0.9 C -0.2 0.5 -0.5 0.5 -0.6 0.55 C -0.5 0.8 -0.3 0.9 0.0 0.9 Z", LEAF)
    for i in range(7):
        with p.turned(i * 360 / 7, 0, -0.4):
            p.ellipse(0, -0.74, 0.17, 0.28, c)
    p.circle(0, -0.4, 0.2, (246, 200, 50) if c != YELLOW else (120, 70, 30))


def cactus(p, c, act, r):
    green = (64, 140, 84)
    p.line([(0, 0.9), (0, -0.72)], 0.4, green)
    p.line([(0, 0.4), (-0.56, 0.4), (-0.56, -0.05)], 0.24, green)
    p.line([(0, 0.15), (0.54, 0.15), (0.54, -0.35)], 0.24, green)
    for x in (-0.09, 0.09):
        p.line([(x, 0.85), (x, -0.7)], 0.03, shade(green, 0.75))
    p.circle(0.05, -0.92, 0.1, (240, 90, 140))


def mushroom(p, c, act, r):
    p.path("M -0.2 0.1 C -0.2 0.5 -0.32 0.9 -0.28 1.0 L 0.28 1.0 C 0.32 0.9 0.2 0.5 0.2 0.1 Z", (244, 232, 208))
    p.path("M -0.85 0.2 C -0.85 -1.05 0.85 -1.05 0.85 0.2 C 0.5 0.35 -0.5 0.35 -0.85 0.2 Z", c)
    for x, y, size in ((-0.42, -0.2, 0.14), (0.1, -0.45, 0.16), (0.48, -0.05, 0.13), (-0.05, 0.05, 0.1)):
        p.circle(x, y, size, contrast(c) if c in (WHITE, YELLOW) else WHITE)


# Buildings

def house(p, c, act, r):
    p.rect(0.34, -0.8, 0.56, -0.3, (150, 90, 80))
    p.rect(-0.75, -0.1, 0.75, 1.0, c)
    p.poly([(-0.95, -0.08), (0, -0.85), (0.95, -0.08)], (150, 62, 52) if c != RED else (90, 70, 70))
    p.rect(-0.16, 0.4, 0.16, 1.0, WOOD if c != BROWN else shade(WOOD, 0.6))
    for x in (-0.6, 0.3):
        p.rect(x, 0.12, x + 0.3, 0.46, GLASS)
        p.line([(x + 0.15, 0.12), (x + 0.15, 0.46)], 0.03, WHITE)


def castle(p, c, act, r):
    stone = (168, 166, 172)
    p.rect(-0.6, 0.0, 0.6, 1.0, stone)
    for i in range(5):
        p.rect(-0.58 + i * 0.26, -0.14, -0.44 + i * 0.26, 0.02, stone)
    for x in (-0.78, 0.78):
        p.rect(x - 0.2, -0.35, x + 0.2, 1.0, shade(stone, 0.86))
        p.poly([(x - 0.26, -0.33), (x + 0.26, -0.33), (x, -0.85)], (150, 60, 110))
        p.rect(x - 0.05, -0.1, x + 0.05, 0.15, DARK, 0.04)
    p.rect(-0.18, -0.5, 0.18, 0.1, shade(stone, 0.92))
    p.poly([(-0.24, -0.48), (0.24, -0.48), (0, -0.98)], (150, 60, 110))
    p.path("M -0.2 1.0 L -0.2 0.6 C -0.2 0.3 0.2 0.3 0.2 0.6 L 0.2 1.0 Z", (96, 66, 46))


def skyscraper(p, c, act, r):
    tone = (108, 128, 160)
    p.line([(0, -0.8), (0, -1.0)], 0.05, DARK)
    p.rect(-0.42, -0.84, 0.42, 1.0, tone)
    p.rect(0.2, -0.84, 0.42, 1.0, shade(tone, 0.8))
    for row in range(8):
        for x in (-0.32, -0.12, 0.08, 0.26):
            p.rect(x, -0.74 + row * 0.2, x + 0.1, -0.62 + row * 0.2,
                   (252, 226, 130) if (row * 3 + int(x * 10)) % 4 else GLASS)


def lighthouse(p, c, act, r):
    p.poly([(-0.24, -0.45), (0.24, -0.45), (0.38, 1.0), (-0.38, 1.0)], WHITE)
    for y in (-0.3, 0.15, 0.6):
        a, b = 0.255 + (y + 0.3) * 0.0966, 0.255 + (y + 0.52) * 0.0966
        p.poly([(-a, y), (a, y), (b, y + 0.22), (-b, y + 0.22)], RED)
    p.rect(-0.3, -0.52, 0.3, -0.44, DARK)
    p.rect(-0.18, -0.76, 0.18, -0.52, (255, 240, 150))
    p.poly([(-0.26, -0.76), (0.26, -0.76), (0, -1.0)], RED)
    p.poly([(0.18, -0.64), (1.0, -0.85), (1.0, -0.4)], (255, 246, 180), 130)


def windmill(p, c, act, r):
    p.poly([(-0.24, -0.4), (0.24, -0.4), (0.42, 1.0), (-0.42, 1.0)], (226, 212, 190))
    p.path("M -0.28 -0.38 C -0.2 -0.75 0.2 -0.75 0.28 -0.38 Z", (130, 70, 56))
    p.rect(-0.12, 0.6, 0.12, 1.0, WOOD)
    turn = r.uniform(20, 70)
    for i in range(4):
        with p.turned(turn + i * 90, 0, -0.3):
            p.line([(0, -0.3), (0, -0.98)], 0.05, (96, 66, 46))
            p.rect(0.02, -0.96, 0.2, -0.46, (250, 246, 236))
    p.circle(0, -0.3, 0.08, DARK)


def tent(p, c, act, r):
    p.poly([(-0.98, 1.0), (0, -0.4), (0.98, 1.0)], c)
    p.poly([(0, -0.4), (0.98, 1.0), (0.4, 1.0)], shade(c, 0.78))
    p.poly([(-0.3, 1.0), (0, 0.1), (0.3, 1.0)], shade(c, 0.35))
    p.line([(0, -0.4), (0, -0.56)], 0.05, WOOD)


# Weather and the sky

def sun(p, c, act, r):
    p.star(0, 0, 1.0, (255, 200, 60), points=14, inner=0.72)
    p.circle(0, 0, 0.62, (255, 226, 90))


def moon(p, c, act, r):
    p.path("M 0.25 -0.9 C -0.7 -0.8 -0.9 0.5 -0.1 0.85 C 0.2 0.98 0.5 0.9 0.7 0.7 "
           "C -0.1 0.7 -0.4 -0.3 0.25 -0.9 Z", (250, 240, 190))


def cloud(p, c, act, r):
    tone = (250, 252, 255)
    low = (214, 222, 234)
    for x, y, size in ((-0.55, 0.18, 0.34), (0.55, 0.2, 0.34), (0.0, 0.22, 0.36)):
        p.circle(x, y + 0.05, size, low)
    for x, y, size in ((-0.55, 0.14, 0.33), (-0.2, -0.14, 0.4), (0.22, -0.08, 0.38), (0.56, 0.16, 0.32)):
        p.circle(x, y, size, tone)
    p.rect(-0.6, 0.1, 0.6, 0.46, tone, 0.1)


def rain_cloud(p, c, act, r):
    tone = (130, 138, 156)
    for i in range(7):
        x = -0.6 + i * 0.2
        for y in (0.3, 0.62):
            p.line([(x + (y - 0.3) * 0.1, y + (i % 2) * 0.14), (x - 0.06, y + 0.17 + (i % 2) * 0.14)],
                   0.05, (90, 160, 240))
    for x, y, size in ((-0.52, -0.15, 0.33), (-0.18, -0.4, 0.4), (0.24, -0.34, 0.38), (0.56, -0.12, 0.32)):
        p.circle(x, y, size, tone)
    p.rect(-0.58, -0.2, 0.6, 0.18, tone, 0.12)


def lightning(p, c, act, r):
    for x, y, size in ((-0.5, -0.5, 0.32), (-0.15, -0.66, 0.34), (0.25, -0.62, 0.36), (0.55, -0.46, 0.3)):
        p.circle(x, y, size, (92, 98, 116))
    p.rect(-0.56, -0.5, 0.6, -0.2, (92, 98, 116), 0.12)
    p.poly([(0.1, -0.3), (-0.3, 0.32), (-0.02, 0.32), (-0.2, 1.0), (0.38, 0.14), (0.08, 0.14), (0.34, -0.3)],
           (255, 224, 60))


def rainbow(p, c, act, r):
    for i, tone in enumerate(((226, 50, 50), (244, 140, 40), (250, 216, 60), (70, 180, 80),
                              (60, 120, 220), (140, 80, 190))):
        size = 0.93 - i * 0.11
        p.stroke("M %f 0.85 C %f %f %f %f %f 0.85" % (
            -size, -size, 0.85 - size * 1.75, size, 0.85 - size * 1.75, size), 0.12, tone)


def planet(p, c, act, r):
    p.circle(0, 0, 0.62, c)
    p.path("M -0.6 -0.12 C -0.2 0.0 0.2 -0.22 0.6 -0.12 L 0.6 0.08 C 0.2 0.0 -0.2 0.2 -0.6 0.1 Z", shade(c, 0.8))
    p.ellipse(-0.2, -0.36, 0.2, 0.09, shade(c, 1.3))
    with p.turned(-18):
        p.stroke("M -0.6 -0.1 C -1.5 0.15 -0.6 0.34 0.0 0.32 C 0.6 0.34 1.5 0.15 0.6 -0.1", 0.09, contrast(c))


def star(p, c, act, r):
    p.star(0, 0, 1.0, c)
    p.star(0, 0.02, 0.62, shade(c, 1.25))


# Food

def apple(p, c, act, r):
    p.path("M 0.0 -0.4 C -0.4 -0.7 -0.95 -0.4 -0.85 0.2 C -0.75 0.8 -0.4 1.05 0.0 0.9 "
           "C 0.4 1.05 0.75 0.8 0.85 0.2 C 0.95 -0.4 0.4 -0.7 0.0 -0.4 Z", c)
    p.ellipse(-0.45, 0.0, 0.13, 0.24, shade(c, 1.4))
    p.line([(0.0, -0.38), (0.08, -0.8)], 0.08, (100, 66, 40))
    p.path("M 0.08 -0.6 C 0.2 -1.0 0.55 -1.0 0.7 -0.9 C 0.6 -0.6 0.3 -0.5 0.08 -0.6 Z", LEAF)


def banana(p, c, act, r):
    p.path("M -0.9 -0.5 C -0.8 0.6 0.3 1.0 0.98 0.3 L 0.9 0.12 C 0.3 0.4 -0.4 0.2 -0.68 -0.6 Z", (250, 214, 60))
    p.path("M -0.85 -0.3 C -0.6 0.5 0.3 0.8 0.95 0.25 L 0.98 0.3 C 0.3 1.0 -0.8 0.6 -0.9 -0.5 Z", (222, 176, 40))
    p.circle(0.94, 0.2, 0.1, (100, 76, 40))
    p.line([(-0.8, -0.55), (-0.84, -0.78)], 0.14, (150, 130, 50))


def strawberry(p, c, act, r):
    p.path("M 0.0 1.0 C -0.6 0.7 -0.95 0.0 -0.7 -0.4 C -0.4 -0.7 0.4 -0.7 0.7 -0.4 C 0.95 0.0 0.6 0.7 0.0 1.0 Z",
           (222, 40, 56))
    for x, y in ((-0.4, -0.1), (0, -0.15), (0.4, -0.1), (-0.22, 0.2), (0.22, 0.2), (0, 0.5), (-0.5, 0.15), (0.5, 0.15)):
        p.ellipse(x, y, 0.05, 0.075, (252, 226, 130))
    p.star(0, -0.52, 0.52, (60, 150, 60), points=7, inner=0.4)


def pizza(p, c, act, r):
    p.circle(0, 0, 0.98, (206, 142, 70))
    p.circle(0, 0, 0.84, (250, 206, 90))
    for x, y in ((-0.4, -0.35), (0.3, -0.45), (0.05, 0.05), (-0.45, 0.3), (0.5, 0.15), (0.1, 0.55)):
        p.circle(x, y, 0.17, (200, 54, 46))
    for x, y in ((-0.1, -0.6), (0.6, -0.15), (-0.65, 0.0), (-0.15, 0.35), (0.4, 0.45)):
        p.ellipse(x, y, 0.09, 0.05, (60, 130, 50))
    for i in range(4):
        with p.turned(i * 45):
            p.line([(-0.9, 0), (0.9, 0)], 0.025, (214, 156, 70))


def cake(p, c, act, r):
    p.ellipse(0, 0.9, 0.95, 0.1, (226, 226, 232))
    p.rect(-0.75, 0.0, 0.75, 0.9, (150, 92, 60), 0.06)
    p.rect(-0.75, 0.42, 0.75, 0.54, (252, 236, 210))
    p.path("M -0.78 0.2 L -0.78 -0.1 L 0.78 -0.1 L 0.78 0.2 C 0.65 0.4 0.52 0.1 0.4 0.25 C 0.25 0.5 0.1 0.1 0.0 0.22 "
           "C -0.15 0.42 -0.3 0.1 -0.45 0.25 C -0.6 0.42 -0.7 0.3 -0.78 0.2 Z", c)
    for x in (-0.45, 0, 0.45):
        p.line([(x, -0.12), (x, -0.5)], 0.09, WHITE)
        p.ellipse(x, -0.68, 0.07, 0.13, (255, 170, 40))


def ice_cream(p, c, act, r):
    p.poly([(-0.42, 0.0), (0.42, 0.0), (0, 1.0)], (222, 164, 92))
    p.line([(-0.25, 0.02), (0.12, 0.68)], 0.03, (180, 120, 60))
    p.line([(0.25, 0.02), (-0.12, 0.68)], 0.03, (180, 120, 60))
    p.circle(-0.22, -0.16, 0.34, c)
    p.circle(0.22, -0.16, 0.34, shade(c, 0.86))
    p.circle(0, -0.52, 0.36, shade(c, 1.25))
    p.circle(0, -0.92, 0.09, RED)


def watermelon(p, c, act, r):
    p.path("M -0.98 -0.3 C -0.9 1.15 0.9 1.15 0.98 -0.3 Z", (48, 130, 60))
    p.path("M -0.86 -0.3 C -0.78 0.95 0.78 0.95 0.86 -0.3 Z", (226, 244, 190))
    p.path("M -0.78 -0.3 C -0.7 0.82 0.7 0.82 0.78 -0.3 Z", (232, 66, 78))
    for x, y in ((-0.45, -0.05), (-0.15, 0.0), (0.15, 0.0), (0.45, -0.05), (-0.25, 0.28), (0.05, 0.32), (0.3, 0.26)):
        p.ellipse(x, y, 0.045, 0.08, DARK)


def cup(p, c, act, r):
    for x in (-0.3, 0.05):
        p.stroke("M %f -0.4 C %f -0.6 %f -0.7 %f -0.95" % (x, x - 0.2, x + 0.2, x), 0.06, (214, 214, 220))
    p.ring(0.6, 0.3, 0.28, 0.28, 0.13, shade(c, 0.85))
    p.path("M -0.65 -0.25 L 0.6 -0.25 C 0.62 0.5 0.5 0.98 0.2 0.98 L -0.25 0.98 C -0.55 0.98 -0.67 0.5 -0.65 -0.25 Z", c)
    p.ellipse(-0.02, -0.25, 0.62, 0.13, (96, 58, 36))


# Objects

def chair(p, c, act, r):
    p.rect(-0.5, -0.95, -0.34, 1.0, shade(c, 0.8), 0.04)
    p.rect(0.42, 0.2, 0.56, 1.0, shade(c, 0.8), 0.04)
    p.rect(-0.5, -0.95, -0.28, 0.2, c, 0.06)
    p.rect(-0.52, 0.14, 0.6, 0.34, c, 0.06)
    p.rect(-0.2, 0.3, -0.08, 0.94, shade(c, 0.65), 0.03)
    p.rect(0.22, 0.3, 0.34, 0.94, shade(c, 0.65), 0.03)


def book(p, c, act, r):
    p.poly([(-0.98, -0.5), (0, -0.36), (0.98, -0.5), (0.98, 0.76), (0, 0.9), (-0.98, 0.76)], c)
    p.path("M -0.9 -0.55 C -0.5 -0.75 -0.2 -0.6 0.0 -0.44 L 0.0 0.8 C -0.2 0.65 -0.5 0.55 -0.9 0.7 Z", (250, 246, 232))
    p.path("M 0.9 -0.55 C 0.5 -0.75 0.2 -0.6 0.0 -0.44 L 0.0 0.8 C 0.2 0.65 0.5 0.55 0.9 0.7 Z", (236, 230, 212))
    for y in (-0.3, -0.05, 0.2, 0.45):
        p.line([(-0.75, y), (-0.2, y + 0.08)], 0.04, (150, 150, 150))
        p.line([(0.75, y), (0.2, y + 0.08)], 0.04, (150, 150, 150))


def umbrella(p, c, act, r):
    p.line([(0, -0.8), (0, 0.8)], 0.07, DARK)
    p.stroke("M 0.0 0.75 C 0.0 1.05 0.3 1.05 0.3 0.75", 0.08, DARK)
    p.path("M -0.98 0.1 C -0.9 -1.15 0.9 -1.15 0.98 0.1 C 0.8 -0.08 0.5 -0.08 0.33 0.1 C 0.2 -0.08 -0.2 -0.08 -0.33 0.1 "
           "C -0.5 -0.08 -0.8 -0.08 -0.98 0.1 Z", c)
    p.path("M -0.33 0.1 C -0.3 -0.5 -0.1 -0.84 0.0 -0.84 C 0.1 -0.84 0.3 -0.5 0.33 0.1 C 0.2 -0.08 -0.2 -0.08 -0.33 0.1 Z",
           contrast(c))


def balloon(p, c, act, r):
    p.stroke("M 0.0 0.4 C 0.2 0.6 -0.2 0.8 0.05 1.0", 0.04, (120, 120, 126))
    p.path("M 0.0 0.38 C -0.9 0.1 -0.7 -1.0 0.0 -1.0 C 0.7 -1.0 0.9 0.1 0.0 0.38 Z", c)
    p.poly([(-0.09, 0.47), (0.09, 0.47), (0, 0.34)], shade(c, 0.8))
    p.ellipse(-0.26, -0.52, 0.1, 0.2, shade(c, 1.5))


def ball(p, c, act, r):
    p.circle(0, 0.1, 0.9, c)
    p.path("M -0.9 0.1 C -0.5 -0.3 0.5 -0.3 0.9 0.1 C 0.88 0.3 0.85 0.4 0.8 0.5 C 0.4 0.1 -0.4 0.1 -0.8 0.5 "
           "C -0.85 0.4 -0.88 0.3 -0.9 0.1 Z", contrast(c))
    p.star(0, -0.42, 0.2, contrast(c))


def kite(p, c, act, r):
    p.stroke("M 0.0 0.4 C 0.3 0.6 -0.3 0.8 0.0 1.0", 0.04, DARK)
    p.poly([(0, -1.0), (0.6, -0.35), (0, 0.45), (-0.6, -0.35)], c)
    p.poly([(0, -1.0), (0.6, -0.35), (0, -0.35)], contrast(c))
    p.poly([(0, 0.45), (-0.6, -0.35), (0, -0.35)], contrast(c))
    for x, y in ((0.12, 0.58), (-0.04, 0.82)):
        p.poly([(x - 0.16, y - 0.08), (x - 0.16, y + 0.08), (x + 0.16, y - 0.08), (x + 0.16, y + 0.08)], c)


def clock(p, c, act, r):
    p.circle(0, 0, 0.96, c)
    p.circle(0, 0, 0.78, (252, 250, 242) if c != WHITE else (214, 226, 240))
    for i in range(12):
        with p.turned(i * 30):
            p.line([(0, -0.7), (0, -0.6)], 0.06, DARK)
    hour = r.uniform(0, 360)
    with p.turned(hour):
        p.line([(0, 0), (0, -0.4)], 0.1, DARK)
    with p.turned(hour * 12 % 360):
        p.line([(0, 0), (0, -0.58)], 0.06, DARK)
    p.circle(0, 0, 0.08, RED)


def guitar(p, c, act, r):
    with p.turned(35):
        p.rect(-0.08, -1.05, 0.08, 0.1, (96, 62, 40))
        p.rect(-0.14, -1.2, 0.14, -0.95, DARK, 0.04)
        p.circle(0, 0.16, 0.34, c)
        p.circle(0, 0.6, 0.46, c)
        p.circle(0, 0.34, 0.17, DARK)
        p.rect(-0.18, 0.68, 0.18, 0.78, DARK)
        p.line([(0, -1.0), (0, 0.7)], 0.03, (240, 236, 220))


def gift(p, c, act, r):
    ribbon = contrast(c)
    p.rect(-0.8, -0.1, 0.8, 1.0, c)
    p.rect(-0.9, -0.35, 0.9, 0.0, shade(c, 0.85), 0.04)
    p.rect(-0.15, -0.35, 0.15, 1.0, ribbon)
    p.path("M 0.0 -0.35 C -0.3 -1.0 -0.9 -0.8 -0.6 -0.5 C -0.5 -0.4 -0.2 -0.35 0.0 -0.35 Z", ribbon)
    p.path("M 0.0 -0.35 C 0.3 -1.0 0.9 -0.8 0.6 -0.5 C 0.5 -0.4 0.2 -0.35 0.0 -0.35 Z", ribbon)


# Shapes

def circle(p, c, act, r):
    p.circle(0, 0, 0.95, c)


def square(p, c, act, r):
    p.rect(-0.9, -0.9, 0.9, 0.9, c)


def triangle(p, c, act, r):
    p.poly([(0, -0.95), (0.98, 0.85), (-0.98, 0.85)], c)


def heart(p, c, act, r):
    p.path("M 0.0 0.95 C -1.5 -0.1 -0.9 -1.0 -0.4 -0.85 C -0.15 -0.8 0.0 -0.6 0.0 -0.45 "
           "C 0.0 -0.6 0.15 -0.8 0.4 -0.85 C 0.9 -1.0 1.5 -0.1 0.0 0.95 Z", c)


@dataclasses.dataclass(frozen=True)
class Thing:
    draw: object
    words: tuple  # (singular, plural) pairs; the first is the plainest
    kinds: tuple = ()  # hypernyms, as (singular, plural)
    coloured: bool = False  # of any of the colours
    natural: tuple = ()  # the colours that a picture to be looked at prefers
    actions: tuple = ()
    floats: bool = False  # hangs in the air wherever it is
    height: float = 1.0  # how much of its box it fills, so that small ones are not drawn smaller
    colour: tuple = (200, 200, 200)  # the body colour where `coloured` is false


ANIMAL, BIRD = ("animal", "animals"), ("bird", "birds")
PERSON, VEHICLE = ("person", "people"), ("vehicle", "vehicles")
PLANT, BUILDING = ("plant", "plants"), ("building", "buildings")
FOOD, FRUIT, SHAPE = ("food", "food"), ("fruit", "fruits"), ("shape", "shapes")
MOVES = ("jumping", "running", "sitting")

THINGS = {
    "cat": Thing(cat, (("cat", "cats"), ("kitten", "kittens"), ("kitty", "kitties")), (ANIMAL,), True,
                 ("orange", "grey", "black", "white", "brown"), MOVES),
    "dog": Thing(dog, (("dog", "dogs"), ("puppy", "puppies"), ("hound", "hounds")), (ANIMAL,), True,
                 ("brown", "white", "grey", "black", "yellow"), MOVES),
    "horse": Thing(horse, (("horse", "horses"), ("pony", "ponies")), (ANIMAL,), True,
                   ("brown", "white", "black", "grey"), ("jumping", "running")),
    "cow": Thing(cow, (("cow", "cows"),), (ANIMAL,)),
    "sheep": Thing(sheep, (("sheep", "sheep"), ("lamb", "lambs")), (ANIMAL,)),
    "pig": Thing(pig, (("pig", "pigs"), ("piglet", "piglets")), (ANIMAL,)),
    "elephant": Thing(elephant, (("elephant", "elephants"),), (ANIMAL,)),
    "rabbit": Thing(rabbit, (("rabbit", "rabbits"), ("bunny", "bunnies"), ("hare", "hares")), (ANIMAL,), True,
                    ("white", "brown", "grey")),
    "bird": Thing(bird, (BIRD,), (ANIMAL,), True, ("blue", "red", "yellow", "green"), ("flying",)),
    "duck": Thing(duck, (("duck", "ducks"), ("duckling", "ducklings")), (ANIMAL,), True,
                  ("yellow", "white", "brown")),
    "fish": Thing(fish, (("fish", "fishes"),), (ANIMAL,), True, ("orange", "yellow", "blue", "red"), floats=True),
    "butterfly": Thing(butterfly, (("butterfly", "butterflies"),), (ANIMAL,), True,
                       ("orange", "blue", "purple", "yellow"), floats=True),
    "snake": Thing(snake, (("snake", "snakes"), ("serpent", "serpents")), (ANIMAL,), True,
                   ("green", "red", "yellow")),
    "turtle": Thing(turtle, (("turtle", "turtles"), ("tortoise", "tortoises")), (ANIMAL,)),
    "frog": Thing(frog, (("frog", "frogs"), ("toad", "toads")), (ANIMAL,)),
    "penguin": Thing(penguin, (("penguin", "penguins"),), (ANIMAL,)),
    "whale": Thing(whale, (("whale", "whales"),), (ANIMAL,), floats=True),
    "owl": Thing(owl, (("owl", "owls"),), (ANIMAL,), True, ("brown", "grey", "white")),
    "man": Thing(man, (("man", "men"), ("guy", "guys"), ("gentleman", "gentlemen")), (PERSON,), True,
                 ("blue", "red", "green", "orange", "purple"), MOVES),
    "woman": Thing(woman, (("woman", "women"), ("lady", "ladies")), (PERSON,), True,
                   ("red", "yellow", "purple", "pink", "blue"), MOVES),
    "child": Thing(child, (("child", "children"), ("kid", "kids"), ("boy", "boys")), (PERSON,), True,
                   ("yellow", "red", "green", "blue", "orange"), MOVES),
    "astronaut": Thing(astronaut, (("astronaut", "astronauts"), ("spaceman", "spacemen"))),
    "robot": Thing(robot, (("robot", "robots"), ("android", "androids")), (), True, ("grey", "blue", "red", "yellow")),
    "snowman": Thing(snowman, (("snowman", "snowmen"),)),
    "car": Thing(car, (("car", "cars"), ("automobile", "automobiles")), (VEHICLE,), True,
                 ("red", "blue", "yellow", "green", "white", "black")),
    "bus": Thing(bus, (("bus", "buses"), ("coach", "coaches")), (VEHICLE,), True, ("red", "yellow", "blue", "green")),
    "truck": Thing(truck, (("truck", "trucks"), ("lorry", "lorries")), (VEHICLE,), True,
                   ("red", "blue", "green", "orange")),
    "train": Thing(train, (("train", "trains"), ("locomotive", "locomotives")), (VEHICLE,), True,
                   ("red", "green", "blue", "black")),
    "bicycle": Thing(bicycle, (("bicycle", "bicycles"), ("bike", "bikes")), (VEHICLE,), True,
                     ("red", "blue", "green", "yellow")),
    "boat": Thing(boat, (("boat", "boats"), ("sailboat", "sailboats"), ("ship", "ships")), (VEHICLE,), True,
                  ("red", "blue", "brown", "white", "green")),
    "airplane": Thing(airplane, (("airplane", "airplanes"), ("plane", "planes"), ("aeroplane", "aeroplanes")),
                      (VEHICLE,), True, ("white", "red", "blue", "yellow"), floats=True),
    "helicopter": Thing(helicopter, (("helicopter", "helicopters"), ("chopper", "choppers")), (VEHICLE,), True,
                        ("red", "yellow", "green", "blue"), floats=True),
    "rocket": Thing(rocket, (("rocket", "rockets"), ("spaceship", "spaceships")), (VEHICLE,), True,
                    ("red", "blue", "orange", "purple"), floats=True),
    "hot air balloon": Thing(hot_air_balloon, (("hot air balloon", "hot air balloons"),), (), True,
                             ("red", "orange", "blue", "purple", "yellow"), floats=True),
    "ufo": Thing(ufo, (("ufo", "ufos"), ("flying saucer", "flying saucers")), floats=True),
    "tree": Thing(tree, (("tree", "trees"),), (PLANT,), True, ("green", "orange", "red", "pink")),
    "pine tree": Thing(pine, (("pine tree", "pine trees"), ("fir tree", "fir trees")), (PLANT,)),
    "palm tree": Thing(palm, (("palm tree", "palm trees"), ("palm", "palms")), (PLANT,)),
    "flower": Thing(flower, (("flower", "flowers"), ("blossom", "blossoms")), (PLANT,), True,
                    ("red", "pink", "purple", "yellow", "blue", "white")),
    "cactus": Thing(cactus, (("cactus", "cacti"),), (PLANT,)),
    "mushroom": Thing(mushroom, (("mushroom", "mushrooms"), ("toadstool", "toadstools")), (), True,
                      ("red", "brown", "purple", "orange")),
    "house": Thing(house, (("house", "houses"), ("home", "homes"), ("cottage", "cottages")), (BUILDING,), True,
                   ("yellow", "white", "blue", "pink", "red")),
    "castle": Thing(castle, (("castle", "castles"), ("fortress", "fortresses")), (BUILDING,)),
    "skyscraper": Thing(skyscraper, (("skyscraper", "skyscrapers"), ("high-rise", "high-rises")), (BUILDING,)),
    "lighthouse": Thing(lighthouse, (("lighthouse", "lighthouses"),), (BUILDING,)),
    "windmill": Thing(windmill, (("windmill", "windmills"),), (BUILDING,)),
    "tent": Thing(tent, (("tent", "tents"),), (), True, ("orange", "red", "green", "blue", "yellow")),
    "sun": Thing(sun, (("sun", "suns"),), floats=True),
    "moon": Thing(moon, (("moon", "moons"), ("crescent moon", "crescent moons")), floats=True),
    "cloud": Thing(cloud, (("cloud", "clouds"),), floats=True),
    "rain": Thing(rain_cloud, (("rain cloud", "rain clouds"), ("rain", "rain"), ("raining", "raining")), floats=True),
    "lightning": Thing(lightning, (("lightning", "lightning"), ("thunderstorm", "thunderstorms"), ("storm", "storms")),
                       floats=True),
    "rainbow": Thing(rainbow, (("rainbow", "rainbows"),), floats=True),
    "planet": Thing(planet, (("planet", "planets"), ("ringed planet", "ringed planets")), (), True,
                    ("orange", "purple", "blue", "red", "green"), floats=True),
    "star": Thing(star, (("star", "stars"),), (SHAPE,), True, ("yellow", "orange", "red", "blue"), floats=True),
    "apple": Thing(apple, (("apple", "apples"),), (FOOD, FRUIT), True, ("red", "green", "yellow")),
    "banana": Thing(banana, (("banana", "bananas"),), (FOOD, FRUIT)),
    "strawberry": Thing(strawberry, (("strawberry", "strawberries"),), (FOOD, FRUIT)),
    "pizza": Thing(pizza, (("pizza", "pizzas"),), (FOOD,)),
    "cake": Thing(cake, (("cake", "cakes"), ("birthday cake", "birthday cakes")), (FOOD,), True,
                  ("pink", "white", "blue", "yellow")),
    "ice cream": Thing(ice_cream, (("ice cream", "ice creams"), ("ice cream cone", "ice cream cones")), (FOOD,), True,
                       ("pink", "white", "green", "brown", "yellow")),
    "watermelon": Thing(watermelon, (("watermelon", "watermelons"), ("melon", "melons")), (FOOD, FRUIT)),
    "cup": Thing(cup, (("cup", "cups"), ("mug", "mugs"), ("cup of coffee", "cups of coffee")), (), True,
                 ("red", "blue", "white", "yellow", "green")),
    "chair": Thing(chair, (("chair", "chairs"), ("seat", "seats")), (), True, ("brown", "red", "blue", "green")),
    "book": Thing(book, (("book", "books"),), (), True, ("red", "blue", "green", "brown")),
    "umbrella": Thing(umbrella, (("umbrella", "umbrellas"), ("parasol", "parasols")), (), True,
                      ("red", "blue", "yellow", "purple", "pink")),
    "balloon": Thing(balloon, (("balloon", "balloons"),), (), True, ("red", "blue", "yellow", "pink", "green"),
                     floats=True),
    "ball": Thing(ball, (("ball", "balls"),), (), True, ("red", "blue", "yellow", "green", "orange")),
    "kite": Thing(kite, (("kite", "kites"),), (), True, ("red", "blue", "yellow", "purple"), floats=True),
    "clock": Thing(clock, (("clock", "clocks"),), (), True, ("red", "blue", "black", "green")),
    "guitar": Thing(guitar, (("guitar", "guitars"),), (), True, ("orange", "red", "brown", "blue")),
    "gift": Thing(gift, (("gift", "gifts"), ("present", "presents"), ("gift box", "gift boxes")), (), True,
                  ("red", "blue", "purple", "green", "pink")),
    "circle": Thing(circle, (("circle", "circles"), ("disc", "discs")), (SHAPE,), True,
                    ("red", "blue", "green", "yellow"), floats=True),
    "square": Thing(square, (("square", "squares"),), (SHAPE,), True, ("red", "blue", "green", "yellow"),
                    floats=True),
    "triangle": Thing(triangle, (("triangle", "triangles"),), (SHAPE,), True, ("red", "blue", "green", "yellow"),
                      floats=True),
    "heart": Thing(heart, (("heart", "hearts"),), (SHAPE,), True, ("red", "pink", "purple"), floats=True),
}
