"""Captions as people would write them, and which pictures they are true of.

A caption is (text, facts); a scene has all its facts. A caption is true of a scene when its facts are
among the scene's: a batch's loss leaves out the pairs that are true but not each other's.
"""

from things import PERSON, THINGS

PLACE_WORDS = {  # (preposition + place, bare place)
    "sky": (("in the sky", "sky"), ("in the blue sky", "blue sky"), ("up in the air", "the sky"),
            ("in a clear sky", "a clear blue sky")),
    "night sky": (("in the night sky", "night sky"), ("in the sky at night", "the sky at night"),
                  ("under a starry sky", "starry sky"), ("in the dark sky", "a dark sky with stars")),
    "sea": (("in the sea", "sea"), ("on the sea", "the sea"), ("in the ocean", "ocean"),
            ("on the water", "water"), ("at sea", "the ocean"), ("in the water", "waves")),
    "grass": (("on grass", "grass"), ("on the grass", "green grass"), ("in a meadow", "a meadow"),
              ("in a field", "a green field"), ("on the lawn", "a lawn"), ("in the grass", "grass hills")),
    "desert": (("in the desert", "desert"), ("in a desert", "the desert"), ("on sand", "sand"),
               ("in the sand", "sand dunes"), ("on a sand dune", "desert landscape")),
    "snow": (("in the snow", "snow"), ("on snow", "snow landscape"), ("in winter", "winter"),
             ("in a snowy field", "a snowy field"), ("on the snow", "falling snow")),
    "space": (("in space", "space"), ("in outer space", "outer space"), ("in outer space", "the galaxy"),
              ("in the universe", "the universe"), ("in the cosmos", "cosmos"), ("out in space", "outer space")),
    "street": (("on the street", "street"), ("in the street", "a street"), ("on a road", "road"),
               ("in the city", "city"), ("in town", "a city street"), ("on a city street", "town")),
    "room": (("in a room", "room"), ("in the room", "a room"), ("indoors", "indoors"),
             ("in a living room", "living room"), ("inside", "inside a room"), ("inside a room", "a room with a window")),
}
ACTION_WORDS = {
    "jumping": ("jumping", "jumping", "leaping", "jumps", "in a jump", "jumping up"),
    "running": ("running", "running", "runs", "racing", "on the run", "running fast"),
    "sitting": ("sitting", "sitting", "sits", "seated", "sitting down", "who sits"),
    "flying": ("flying", "flying", "flies", "in flight"),
}
SIZE_WORDS = {"small": ("small", "little", "tiny"), "big": ("big", "large", "huge")}
NUMBERS = {2: ("two", "two", "2", "a pair of", "a couple of"), 3: ("three", "three", "3"),
           4: ("four", "four", "4"), 5: ("five", "five", "5")}
COLOUR_WORDS = {"grey": ("grey", "grey", "gray"), "purple": ("purple", "purple", "violet")}
_ALSO = {"astronaut": ("kind", "person"), "ball": ("thing", "circle"), "clock": ("thing", "circle"),
         "pizza": ("thing", "circle"), "gift": ("thing", "square"), "tent": ("thing", "triangle"),
         "sun": ("thing", "circle"), "rocket": ("thing", "airplane")}


def scene_facts(scene):
    """Everything that a caption may truly say, and what a background makes arguable."""
    facts = {("place", scene.place)}
    if scene.night:
        facts |= {("night",), ("thing", "star"), ("place", "space"), ("place", "sky")}
        if scene.place == "sky":
            facts.add(("place", "night sky"))
    if scene.place == "space":
        facts |= {("thing", "star"), ("night",), ("place", "night sky"), ("place", "sky")}
    if scene.place == "street":
        facts |= {("kind", "building"), ("thing", "skyscraper"), ("thing", "house")}
    if scene.place not in ("room", "plain") and not scene.night:
        facts.add(("day",))
    if scene.place in ("grass", "desert", "sea", "snow", "street") and not scene.night:
        facts.add(("place", "sky"))
    if scene.grey:
        facts.add(("grey",))
    for group in scene.groups:
        facts |= group_facts(group, scene.grey)
        if group.thing in _ALSO:
            facts.add(_ALSO[group.thing])
    return facts


def group_facts(group, grey):
    subjects = [group.thing] + [kind for kind, _ in THINGS[group.thing].kinds]
    facts = {("thing", group.thing)} | {("kind", subject) for subject in subjects[1:]}
    for subject in subjects:
        if group.colour and not grey:
            facts.add(("colour", subject, group.colour))
        if group.action:
            facts.add(("action", subject, group.action))
        if group.size:
            facts.add(("size", subject, group.size))
        if group.count > 1:
            facts.add(("count", subject, group.count))
    return facts


def _phrase(group, grey, r, detail):
    """(words, facts) naming a group: [number or article] [size] [colour] noun [action]."""
    kind = THINGS[group.thing]
    if kind.kinds and r.random() < 0.06:
        singular, plural = r.choice(kind.kinds)
        subject, facts = singular, {("kind", singular)}
    else:
        words = kind.words
        singular, plural = words[0] if len(words) == 1 or r.random() < 0.62 else r.choice(words[1:])
        subject, facts = group.thing, {("thing", group.thing)}
    noun = plural if group.count > 1 else singular
    before, after = [], []
    if group.size and r.random() < detail:
        before.append(r.choice(SIZE_WORDS[group.size]))
        facts.add(("size", subject, group.size))
    if group.colour and not grey and r.random() < detail:
        colour = r.choice(COLOUR_WORDS.get(group.colour, (group.colour,)))
        facts.add(("colour", subject, group.colour))
        if PERSON in kind.kinds:
            if r.random() < 0.35:
                before.append(colour)
            else:
                worn = r.choice(("dress", "clothes") if group.thing == "woman" else ("shirt", "clothes", "jumper"))
                after.append(r.choice(("in " + colour, "in %s %s" % (colour, worn) if worn == "clothes" else
                                       "in a %s %s" % (colour, worn), "wearing " + colour)))
        elif r.random() < 0.10:
            after.append(r.choice((", " + colour, "that is " + colour, "is " + colour)))
        else:
            before.append(colour)
    if group.action and r.random() < min(1, detail + 0.15):
        word = r.choice(ACTION_WORDS[group.action])
        facts.add(("action", subject, group.action))
        if word.endswith("ing") and r.random() < 0.2:
            before.insert(0, word)
        elif word.endswith("ing") and r.random() < 0.2:
            after.insert(0, "is " + word)
        else:
            after.insert(0, word)
    if group.count > 1:
        if r.random() < detail:
            before.insert(0, r.choice(NUMBERS[group.count]))
            facts.add(("count", subject, group.count))
        elif r.random() < 0.3:
            before.insert(0, r.choice(("some", "several", "many")))
    elif r.random() < 0.5:
        first = (before + [noun])[0]
        before.insert(0, r.choice(("a", "a", "the", "one")) if first[0] not in "aeiou" else
                      r.choice(("an", "an", "the", "one")))
    return " ".join(before + [noun] + after).replace(" ,", ","), facts


def caption(scene, r, detail):
    """(text, facts); `detail` is how likely each thing that could be said is said."""
    facts = set()
    night_sky = scene.place == "sky" and scene.night
    key = "night sky" if night_sky else scene.place
    say_place = scene.place != "plain" and (not scene.groups or r.random() < detail)
    parts = []
    if scene.groups:
        groups = list(scene.groups)
        r.shuffle(groups)
        if len(groups) > 1 and r.random() > detail + 0.15:
            groups = groups[:1]
        for group in groups:
            words, said = _phrase(group, scene.grey, r, detail)
            parts.append(words)
            facts |= said
        text = parts[0] if len(parts) == 1 else parts[0] + r.choice(
            (" and ", " and ", " with ", " next to ", ", ", " beside ")) + parts[1]
    else:
        text = ""
    if say_place:
        inside, bare = r.choice(PLACE_WORDS[key])
        facts.add(("place", key))
        chance = r.random()
        if not text:
            text = bare
        elif chance < 0.72:
            text = text + " " + inside
        elif chance < 0.84:
            text = inside + r.choice((" ", ", ", " there is ")) + text
        else:
            text = text + r.choice((", ", " ")) + bare
        if scene.night and not night_sky and r.random() < 0.6:
            text = text + r.choice((" at night", " at night", " by night", " in the dark"))
            facts.add(("night",))
        elif not scene.night and ("day",) in scene_facts(scene) and r.random() < 0.06:
            text = text + r.choice((" by day", " in daylight", " on a sunny day"))
            facts.add(("day",))
    elif scene.night and r.random() < 0.25:
        text = text + " at night" if text else "at night"
        facts.add(("night",))
    if scene.grey and r.random() < 0.3:
        text = r.choice(("a black and white picture of ", "greyscale ", "black and white ")) + text
        facts.add(("grey",))
    elif r.random() < 0.14:
        text = r.choice(("a picture of ", "a photo of ", "picture of ", "an illustration of ", "a drawing of ",
                         "there is ", "image of ", "photo of ")) + text
    if r.random() < 0.04:
        text = text.capitalize()
    return text, facts
