"""The completions that the package installs, as each of the three shells reads them."""

import re
import subprocess

import pytest
from tools import TESTS, tool

ROOT = TESTS.parent

# Options whose value is a file, and the words before it.
FILES = [
    ("create-table", ["--env-file"]), ("process-images", ["--failed"]), ("process-images", ["--metrics-file"]),
    ("process-images", ["--status-file"]), ("find-images", ["--env-file"]), ("find-images", ["--image"]),
    ("find-images", ["cat", "--plus", "dog", "--minus-image"]), ("web-app", ["--tls-certificate"]),
    ("web-app", ["--tls-key"]),
]

BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
"_$1" "$1" "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def script(shell, name, folder):
    path = folder / f"{name}.{shell}"
    with path.open("w") as file:
        subprocess.run([ROOT / "scripts/completions", tool(name), shell], stdout=file, check=True)
    return path


def offered(shell, name, words, folder):
    """What the shell offers for the last of the words."""
    path = script(shell, name, folder)
    if shell == "bash":
        command = ["bash", "--norc", "-c", BASH, "bash", path, name, *words]
    else:
        line = " ".join([name, *words])
        command = ["fish", "--no-config", "-c", f"source {path}; complete --do-complete '{line}'"]
    done = subprocess.run(command, cwd=folder / "here", capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done
    return [line.split("\t")[0] for line in done.stdout.splitlines() if line]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "here" / "settings").mkdir(parents=True)
    for name in ["settings.env", "settings.txt", "other.jpg"]:
        (tmp_path / "here" / name).touch()
    return tmp_path


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize(("name", "before"), FILES)
def test_files(shell, name, before, folder):
    found = offered(shell, name, [*before, "sett"], folder)
    assert {word.rstrip("/") for word in found} == {"settings", "settings.env", "settings.txt"}


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_folders_and_values(shell, folder):
    assert [word.rstrip("/") for word in offered(shell, "process-images", ["sett"], folder)] == ["settings"]
    assert "--env-file" in offered(shell, "process-images", ["--e"], folder)
    assert offered(shell, "find-images", ["--shape", "port"], folder) == ["portrait"]
    # Neither a value that is no file, nor a subcommand.
    assert offered(shell, "web-app", ["--port", "sett"], folder) == []
    assert offered(shell, "web-app", ["he"], folder) == []


@pytest.mark.parametrize(("name", "before"), FILES)
def test_zsh_specifications(name, before, folder):
    """zsh reads the script, accepts its specifications, and finds files after the option."""
    path = script("zsh", name, folder)
    checked = subprocess.run(["zsh", "--no-rcs", "-n", path], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    text = path.read_text()
    assert text.startswith(f"#compdef {name}\n") and ":->" not in text
    specifications = re.search(r"arg_specs=\(\n(.*?)\n    \)", text, re.DOTALL)[1].split("\n")
    # At most one specification takes all remaining words.
    assert sum(line.strip().startswith("'*:") for line in specifications) <= 1
    if f"'{before[-1]}[" in text:
        assert re.search(rf"'{before[-1]}\[.*\]:file:_files'", text)
    else:
        assert "'*:terms:_files'" in text
