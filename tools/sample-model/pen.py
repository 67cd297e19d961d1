"""A small drawing vocabulary over Skia: anti-aliased flat shapes in a thing's own unit box.

A thing is drawn in a box of x and y from -1 to 1, y downwards, its feet on y = 1. The caller
scales and moves the canvas first; colours are (red, green, blue) from 0 to 255.
"""

import functools
import math
import re

import skia

COLOURS = {
    "red": (214, 45, 48),
    "orange": (242, 138, 28),
    "yellow": (250, 212, 46),
    "green": (58, 160, 72),
    "blue": (44, 100, 214),
    "purple": (128, 66, 178),
    "pink": (246, 140, 184),
    "brown": (132, 84, 48),
    "black": (38, 38, 44),
    "white": (246, 246, 244),
    "grey": (142, 145, 152),
}


def shade(colour, factor):
    """Darker for a factor below 1; above 1, mixed with white by the excess (1.3: 30 % white)."""
    if factor <= 1:
        return tuple(int(part * factor) for part in colour)
    return tuple(int(part + (255 - part) * (factor - 1)) for part in colour)


def contrast(colour):
    """A colour that shows on `colour`: for stripes, spots and eyes."""
    return shade(colour, 1.6) if sum(colour) < 250 else shade(colour, 0.5)


@functools.lru_cache(maxsize=4096)
def _svg(text):
    """A path from SVG's absolute M, L, Q, C and Z, each letter before each of its segments."""
    path = skia.Path()
    moves = {"M": path.moveTo, "L": path.lineTo, "Q": path.quadTo, "C": path.cubicTo}
    for letter, numbers in re.findall(r"([MLQCZ])([^MLQCZ]*)", text):
        if letter == "Z":
            path.close()
        else:
            moves[letter](*map(float, numbers.split()))
    return path


class Pen:
    """Draws on one canvas; keeps two paints so that a shape costs one call."""

    def __init__(self, canvas):
        self.canvas = canvas
        self._fill = skia.Paint(AntiAlias=True)
        self._line = skia.Paint(
            AntiAlias=True, Style=skia.Paint.kStroke_Style,
            StrokeCap=skia.Paint.kRound_Cap, StrokeJoin=skia.Paint.kRound_Join)

    def _filled(self, colour, alpha):
        self._fill.setARGB(alpha, *colour)
        return self._fill

    def _lined(self, colour, width):
        self._line.setARGB(255, *colour)
        self._line.setStrokeWidth(width)
        return self._line

    def ellipse(self, x, y, rx, ry, colour, alpha=255):
        self.canvas.drawOval(
            skia.Rect.MakeLTRB(x - rx, y - ry, x + rx, y + ry), self._filled(colour, alpha))

    def circle(self, x, y, r, colour, alpha=255):
        self.canvas.drawCircle(x, y, r, self._filled(colour, alpha))

    def ring(self, x, y, rx, ry, width, colour):
        self.canvas.drawOval(
            skia.Rect.MakeLTRB(x - rx, y - ry, x + rx, y + ry), self._lined(colour, width))

    def rect(self, left, top, right, bottom, colour, r=0.0, alpha=255):
        self.canvas.drawRoundRect(
            skia.Rect.MakeLTRB(left, top, right, bottom), r, r, self._filled(colour, alpha))

    def poly(self, points, colour, alpha=255):
        path = skia.Path()
        path.addPoly([skia.Point(x, y) for x, y in points], True)
        self.canvas.drawPath(path, self._filled(colour, alpha))

    def path(self, svg, colour, alpha=255):
        self.canvas.drawPath(_svg(svg), self._filled(colour, alpha))

    def stroke(self, svg, width, colour):
        self.canvas.drawPath(_svg(svg), self._lined(colour, width))

    def line(self, points, width, colour):
        path = skia.Path()
        path.addPoly([skia.Point(x, y) for x, y in points], False)
        self.canvas.drawPath(path, self._lined(colour, width))

    def gradient(self, left, top, right, bottom, upper, lower):
        paint = skia.Paint(Shader=skia.GradientShader.MakeLinear(
            [(0, top), (0, bottom)], [skia.Color(*upper), skia.Color(*lower)]))
        self.canvas.drawRect(skia.Rect.MakeLTRB(left, top, right, bottom), paint)

    def star(self, x, y, r, colour, points=5, inner=0.45, turn=0.0):
        corners = []
        for i in range(points * 2):
            radius = r if i % 2 == 0 else r * inner
            angle = turn + math.pi * i / points - math.pi / 2
            corners.append((x + radius * math.cos(angle), y + radius * math.sin(angle)))
        self.poly(corners, colour)

    def turned(self, degrees, x=0.0, y=0.0):
        """Turns what follows, clockwise, about a point, until the `with` block ends."""
        return _Turned(self.canvas, degrees, x, y)


class _Turned:
    def __init__(self, canvas, degrees, x, y):
        self.canvas, self.degrees, self.x, self.y = canvas, degrees, x, y

    def __enter__(self):
        self.canvas.save()
        self.canvas.rotate(self.degrees, self.x, self.y)

    def __exit__(self, *_):
        self.canvas.restore()
