"""Ours and theirs in turn: a round measures everybody once, in an order that rotates."""

import statistics

from . import workplace
from .peer import Peer, PeerError

SHORT_TEXT = "man jumping"
# 38 tokens between start and end.
LONG_TEXT = (
    "a photo of a man jumping over a small stream in the mountains at sunset while two dogs watch "
    "him from the other side and a woman takes a picture of all of them with her phone")
# A worse cosine to ours is not the same computation any more, only a likeness.
SAME = 0.999
CHECKED_PICTURES = 16
TEXT_REPEATS = 5


def commands():
    """How each peer is started, in the table's order."""
    ours = workplace.WORK / "swift" / "release" / "ClipBench"
    peers = workplace.BENCHMARKS / "peers"

    def python(name, *arguments):
        return [workplace.PYTHON, peers / f"{name}.py", *arguments]

    return {
        "ours-fp32": [ours, "fp32"],
        "ours-int8": [ours, "int8"],
        "ours-int7": [ours, "int7"],
        "pytorch": python("pytorch"),
        "onnx-fp32": python("onnx_runtime", "fp32"),
        "onnx-int8": python("onnx_runtime", "int8"),
        "openvino-fp32": python("openvino_", "fp32"),
        "openvino-default": python("openvino_", "default"),
        "clip-cpp": python("clip_cpp_"),
        "faster-clip": python("faster_clip_"),
        "openblas": [ours, "peak"],
        "onednn": python("onednn"),
    }


class Rounds:
    def __init__(self, results, load, seconds, wanted=None):
        self.results = results
        self.load = load
        self.seconds = seconds
        self.peers = {}
        self.rates = {}
        log = open(workplace.WORK / "peers.log", "w")
        for key, command in commands().items():
            if wanted and key not in wanted:
                continue
            self._start(key, command, log)

    def _described(self, key):
        return self.results.data["peers"].setdefault(key, {"name": key})

    def _start(self, key, command, log):
        described = self._described(key)
        if key.startswith("ours-"):
            described["ours"] = True
        try:
            peer = Peer(key, command, log=log)
            loaded = peer.ask("load", load=self.load)
            described["name"], described["version"] = loaded["name"], loaded.get("version")
            peer.measures = loaded["measures"]
            if operations := loaded.get("operations"):
                described["operations"] = operations
            self.peers[key] = peer
            self._tune(peer, loaded["configurations"], described)
        except (PeerError, OSError) as error:
            self._drop(key, error)

    def _drop(self, key, error):
        """A peer that fails is left out; the others go on."""
        workplace.note(f"{key}: {error}")
        self._described(key)["missing"] = str(error).splitlines()[0]
        if peer := self.peers.pop(key, None):
            peer.stop()

    def _tune(self, peer, configurations, described):
        """Finds how a peer is fastest: batches side by side, and pictures a batch. Warms it up too."""
        source = "tensors" if "tensors" in peer.measures else "files"
        peer.ask("configure", configuration=configurations[0])
        # What comes first pays for memory and caches.
        first = peer.ask("measure", source=source, count=4)["seconds"][0] / 4
        best = None
        for configuration in configurations:
            unit = configuration["lanes"] * configuration["batch"]
            # A peer that takes seconds for a picture shows its rate with few of them.
            count = unit if first * unit < 4 * self.seconds else max(1, int(self.seconds / first))
            peer.ask("configure", configuration=configuration)
            rate = count / peer.ask("measure", source=source, count=count)["seconds"][0]
            if best is None or rate > best[0]:
                best = rate, configuration
        self.rates[peer.key], described["configuration"] = best
        peer.ask("configure", configuration=best[1])
        workplace.note(
            f"{described['name']}: about {best[0]:.1f} pictures/s with {best[1]['lanes']} × batches "
            f"of {best[1]['batch']}")

    def check(self):
        """Worst cosines to ours in fp32; a peer that computes something else is marked."""
        reference = {}
        for key in ["ours-fp32", *(key for key in self.peers if key != "ours-fp32")]:
            if key not in self.peers:
                continue
            peer, described = self.peers[key], self._described(key)
            cosines = described.setdefault("cosine", {})
            try:
                for source in ("tensors", "files", "texts"):
                    vectors = self._vectors(peer, source)
                    if vectors is None:
                        continue
                    if key == "ours-fp32":
                        reference[source] = vectors
                    elif source in reference:
                        cosines[source] = min(map(cosine, vectors, reference[source]))
            except PeerError as error:
                self._drop(key, error)
                continue
            worse = [source for source, value in cosines.items() if value < SAME]
            if worse:
                described["remark"] = (
                    f"computes something else: cosines below {SAME} for {' and '.join(worse)}")

    def _vectors(self, peer, source):
        if source == "texts":
            if "text" not in peer.measures:
                return None
            return peer.ask("embedTexts", texts=[SHORT_TEXT, LONG_TEXT])["vectors"]
        if source not in peer.measures or peer.key in ("openblas", "onednn"):
            return None
        count = min(CHECKED_PICTURES, len(self.load["photos"]))
        return peer.ask("embed", source=source, count=count)["vectors"]

    def run(self, count, cold=None):
        for number in range(1, count + 1):
            workplace.note(f"round {number} of {count}")
            keys = list(self.peers)
            turn = (number - 1) % max(1, len(keys))
            order = keys[turn:] + keys[:turn]
            for source in ("tensors", "files", "preprocessing"):
                for key in order:
                    self._one(key, source, lambda peer: self._rate(peer, source), number)
            for measure, text in (("text", SHORT_TEXT), ("long text", LONG_TEXT)):
                for key in order:
                    self._one(
                        key, "text", lambda peer: self._milliseconds(peer, text), number, measure)
            if cold:
                measure_cold(self.results, cold, number)

    def _one(self, key, needs, measure, number, name=None):
        peer = self.peers.get(key)
        if peer is None or needs not in peer.measures:
            return
        try:
            self.results.add(number, name or needs, key, measure(peer))
        except PeerError as error:
            self._drop(key, error)

    def _rate(self, peer, source):
        """Pictures a second, over about `seconds`."""
        if source == "preprocessing":
            count = len(self.load["photos"])
        else:
            configuration = self._described(peer.key)["configuration"]
            unit = configuration["lanes"] * configuration["batch"]
            count = max(1, round(self.rates[peer.key] * self.seconds / unit)) * unit
        return count / peer.ask("measure", source=source, count=count)["seconds"][0]

    def _milliseconds(self, peer, text):
        peer.ask("measureText", text=text, repeats=2)
        seconds = peer.ask("measureText", text=text, repeats=TEXT_REPEATS)["seconds"]
        return 1000 * statistics.median(seconds)

    def stop(self):
        for peer in self.peers.values():
            peer.stop()


def measure_cold(results, cold, number):
    from .cold import OURS, THEIRS

    order = (OURS, THEIRS) if number % 2 else (THEIRS, OURS)
    for key in order:
        seconds, mebibytes, _ = cold.measure(key)
        results.add(number, "cold wall", key, seconds)
        results.add(number, "cold memory", key, mebibytes)


def cosine(one, other):
    dot = sum(a * b for a, b in zip(one, other))
    return dot / (sum(a * a for a in one) * sum(b * b for b in other)) ** 0.5
