"""The container file and the systemd unit: what can be told without a container engine."""

import re
import shutil
import subprocess

import pytest
import yaml
from tools import TESTS, tool

ROOT = TESTS.parent
CONTAINERFILE = (ROOT / "deploy" / "Containerfile").read_text()
TOOLS = ["create-table", "process-images", "find-images", "web-app"]

# The packages of Ubuntu 24.04 that hold the libraries. Debian's libjpeg has another number.
PACKAGES = {
    "libpq": "libpq5", "libcurl": "libcurl4t64", "libcrypto": "libssl3t64", "libexpat": "libexpat1",
    "libopenblas": "libopenblas0-pthread", "libjpeg": "libjpeg-turbo8", "libpng16": "libpng16-16t64", "libtiff": "libtiff6",
    "libheif": "libheif1", "libjxl": "libjxl0.7", "libopenjp2": "libopenjp2-7", "libsentencepiece": "libsentencepiece0",
    "libwebp": "libwebp7", "libwebpdemux": "libwebpdemux2", "libz": "zlib1g",
}
# Of no library that the tools open: certificates, and libheif's decoders.
NOT_LINKED = {"ca-certificates", "libheif-plugin-libde265", "libheif-plugin-aomdec"}
# Of the base image, or linked statically there (Swift's own).
BASE = {
    "libc", "libm", "libstdc++", "libgcc_s", "ld-linux-x86-64", "ld-linux-aarch64", "libswiftCore",
    "libdispatch", "libBlocksRuntime", "libFoundation", "libFoundationEssentials",
    "libFoundationInternationalization", "lib_FoundationICU",
}


def installed(stage):
    """The packages that a stage installs."""
    command = re.search(r"apt-get install -y --no-install-recommends(.*?)&&", stage, re.DOTALL).group(1)
    return set(command.replace("\\\n", " ").split())


def test_the_container_has_every_library():
    build, run = CONTAINERFILE.split("\nFROM ")[-2:]
    setup = (ROOT / "scripts" / "setup").read_text()
    wanted = re.search(r"^packages=\((.*?)\)", setup, re.DOTALL | re.MULTILINE).group(1).split()
    assert installed(build) == set(wanted)
    needed = set()
    for name in TOOLS:
        told = subprocess.run(
            ["objdump", "--private-headers", tool(name)], capture_output=True, text=True, check=True)
        needed |= {line.split(".so")[0] for line in re.findall(r"NEEDED +(\S+)", told.stdout)}
    # Those of the default traits are loaded on first use.
    needed |= {"libheif", "libjxl", "libopenjp2"}
    needed = {name for name in needed if name not in BASE and not name.startswith("libswift")}
    assert {PACKAGES[name] for name in needed} == installed(run) - NOT_LINKED


def test_what_the_container_copies_is_there():
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", CONTAINERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists()


def test_release_builds_use_exact_versions():
    """The committed versions satisfy Package.swift, and both release builds insist on them."""
    manifest = (ROOT / "Package.swift").read_text()
    pins = dict(line.split() for line in (ROOT / "deploy" / "versions.txt").read_text().splitlines())

    def numbers(version):
        return [int(part) for part in version.split(".")]

    wanted = dict(re.findall(r'\.package\(\s*url: "([^"]+)",\s*from: "([^"]+)"', manifest))
    assert len(wanted) == manifest.count(".package(")
    for url, least in wanted.items():
        name = url.removesuffix(".git").rsplit("/", 1)[1]
        assert numbers(pins[name]) >= numbers(least), url
        assert numbers(pins[name])[0] == numbers(least)[0], url
    # swift-nio 2.100.0 fixes published vulnerabilities.
    assert numbers(wanted["https://github.com/apple/swift-nio.git"]) >= [2, 100, 0]
    for text in [CONTAINERFILE, (ROOT / "scripts" / "package").read_text()]:
        assert "scripts/pin-versions" in text and "--force-resolved-versions" in text


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
@pytest.mark.parametrize("name", ["clip-search-web.service", "clip-search-ingest.service"])
def test_the_units_are_valid(name, tmp_path):
    """systemd knows every setting of the unit, and the tools every option."""
    text = (ROOT / "deploy" / name).read_text()
    commands = [line.split() for line in re.findall(r"^ExecStart(?:Pre)?=(.*)$", text, re.MULTILINE)]
    for command in commands:
        assert command[0].removeprefix("/usr/bin/") in TOOLS
        path = str(tool(command[0].removeprefix("/usr/bin/")))
        text = text.replace(command[0], path)
        told = subprocess.run([path, "--help"], capture_output=True, text=True, check=True).stdout
        for argument in command[1:]:
            assert not argument.startswith("--") or f"  {argument} " in told
    unit = tmp_path / name
    unit.write_text(text)
    told = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    complaints = [line for line in told.stderr.splitlines() if name in line]
    assert told.returncode == 0 and complaints == [], told.stderr


def test_the_compose_file_starts_the_tools_with_options_they_have():
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    examples = (ROOT / ".env_example").read_text()
    commands = [services["page"]["command"], services["ingest"]["command"][-1].split()]
    for command in commands:
        assert set(command) & set(TOOLS)
    page = services["page"]["command"]
    told = subprocess.run([tool(page[0]), "--help"], capture_output=True, text=True, check=True).stdout
    for option in [word for word in page if word.startswith("--")]:
        assert f"  {option} " in told
    for service in ("page", "ingest"):
        assert (ROOT / "deploy" / services[service]["build"]["context"]).resolve() == ROOT.resolve()
        for variable in services[service]["environment"]:
            assert re.search(rf"^#?{variable}=", examples, re.MULTILINE)
