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


def test_the_container_installs_the_package():
    """So its libraries are those that dpkg-shlibdeps finds."""
    build, run = CONTAINERFILE.split("\nFROM ")[1:]
    assert "RUN scripts/setup && scripts/package /packages" in build
    assert "COPY --from=build /packages/*.deb" in run and "apt-get install -y --no-install-recommends /tmp/*.deb" in run


def test_the_container_gets_what_the_package_needs():
    """.dockerignore lets in every file that scripts/package and scripts/setup name."""
    allowed = {line[1:] for line in (ROOT / "deploy/Containerfile.dockerignore").read_text().splitlines() if line[0] == "!"}
    text = "".join((ROOT / "scripts" / name).read_text() for name in ["package", "setup", "pin-versions"])
    words = set(re.findall(r"[\w.][\w.*/-]+", text))
    named = {path.relative_to(ROOT).parts[0] for word in words if word.strip("./*-") for path in ROOT.glob(word)}
    # What they make, and a variable of that name.
    named -= {".build-package", ".packages", ".venv", "Package.resolved", "tools"}
    assert {"Sources", "deploy", "scripts", "README.md", "NOTICE"} <= named
    assert named | {"Package.swift", ".env_example", "Tests", "Examples"} <= allowed


def test_the_images_are_pinned():
    """Each by its name and digest, and the release takes the base from there."""
    images = dict(re.findall(r"^ARG (\w+)=(.*)$", CONTAINERFILE, re.MULTILINE))
    assert set(images) == {"BASE", "BUILD"}
    for image in images.values():
        assert re.fullmatch(r"docker\.io/library/\w+:[\w.-]+@sha256:[0-9a-f]{64}", image)
    release = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    # The named context takes the place of the stage, so that the image installs the released package.
    build = "".join(step.get("run", "") for step in release["jobs"]["image"]["steps"])
    assert "--build-context build=build " in build and "AS build" in CONTAINERFILE


def test_the_notices_name_what_is_linked():
    """Every Swift package whose code is in web-app, by its symbols, and the C code in these packages."""
    symbols = subprocess.run(["nm", tool("web-app")], capture_output=True, text=True, check=True).stdout
    linked = set()
    for mangled in set(re.findall(r" \$s(\d+\w+)", symbols)):
        length, rest = re.match(r"(\d+)(.*)", mangled).groups()
        linked.add(rest[: int(length)])
    notices = (ROOT / "NOTICE").read_text()
    packages = {path.parents[1].name for path in (ROOT / ".build/checkouts").glob("*/Sources/*") if path.name in linked}
    assert {"hummingbird", "swift-nio", "swift-argument-parser"} <= packages
    assert [name for name in packages if not re.search(rf"\b{name}\b(?!-)", notices)] == []
    for prefix, name in {"CNIOBoringSSL_": "BoringSSL", "CCryptoBoringSSL_": "swift-crypto", "c_nio_llhttp": "llhttp",
                         "c_nio_sha1": "sha1.c", "cnioextras_z_": "zlib", "fiat_": "fiat-crypto"}.items():
        assert name in notices or prefix not in symbols, name


def test_what_the_container_copies_is_there():
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", CONTAINERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists()


def test_release_builds_use_exact_versions():
    """The committed versions satisfy Package.swift, and the release build insists on them."""
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
    package = (ROOT / "scripts" / "package").read_text()
    assert "scripts/pin-versions" in package and "--force-resolved-versions" in package


def test_an_upgrade_restarts_the_units_in_order(tmp_path):
    """The package's scripts on a machine with systemd, of which stand-ins write down what they are asked."""
    commands = {"getent": "", "adduser": "", "chown": "", "chmod": "", "deluser": "", "rm": "", "deb-systemd-helper": "",
                "systemctl": 'echo "systemctl $*" >>"$LOG"',
                # As init-system-helpers': an action without a unit is wrong usage.
                "deb-systemd-invoke": '[ $# -ge 2 ] || exit 1; echo "$*" >>"$LOG"'}
    for name, body in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    log = tmp_path / "log"

    def asked(script, *arguments):
        log.write_text("")
        text = (ROOT / "deploy/debian" / script).read_text().replace("/run/systemd/system", str(tmp_path))
        subprocess.run(["sh", "-s", *arguments], input=text, text=True, check=True,
                       env={"PATH": f"{tmp_path}:/usr/bin:/bin", "LOG": str(log)})
        return log.read_text().splitlines()

    reload = "systemctl --system daemon-reload"
    assert asked("postinst", "configure", "") == [reload]
    assert asked("postinst", "configure", "0.9.0") == [
        reload, "try-restart clip-search-watch.service", "try-restart clip-search-web.service"]
    assert asked("prerm", "upgrade", "1.0.1") == []
    [stopped] = asked("prerm", "remove")
    assert stopped.startswith("stop clip-search-ingest.timer ") and stopped.endswith(" clip-search-web.service")
    assert asked("postrm", "purge") == [reload]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
@pytest.mark.parametrize(
    "name", ["clip-search-web.service", "clip-search-ingest.service", "clip-search-watch.service"])
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
