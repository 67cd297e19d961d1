"""Runs a private OpenStack Swift with the s3api filter; see the script object-store beside it."""

import fcntl
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

BACKENDS = ("account", "container", "object")
USER = ("test", "tester", "testing")
START_SECONDS = 60


class Failure(Exception):
    pass


def program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/bin:/usr/sbin:/bin")
    if path is None:
        raise Failure(f"{name} is not installed")
    return path


def check_attributes(directory):
    """Swift keeps an object's metadata in extended attributes of its file."""
    probe = os.path.join(directory, ".probe")
    with open(probe, "w"):
        pass
    try:
        os.setxattr(probe, b"user.swift.probe", b"x" * 512)
    except OSError as error:
        raise Failure(
            f"the file system of {directory} has no extended attributes for users "
            f"({error.strerror}); choose a directory on ext4, xfs or btrfs"
        )
    finally:
        os.unlink(probe)


def free_ports(count):
    """Ports without a listener; `start` tries again if one is gone when it is needed."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def configure(directory, region, ports):
    """Writes the configuration files and builds the three rings."""
    etc = os.path.join(directory, "etc")
    objects = os.path.join(directory, "objects")
    shutil.rmtree(etc, ignore_errors=True)
    os.makedirs(etc)
    os.makedirs(os.path.join(objects, "d1"), exist_ok=True)
    write(
        os.path.join(etc, "swift.conf"),
        "[swift-hash]\n"
        "swift_hash_path_prefix = clip-search\n"
        "swift_hash_path_suffix = test\n"
        "[storage-policy:0]\n"
        "name = one\n"
        "default = yes\n",
    )
    user = pwd.getpwuid(os.getuid()).pw_name
    common = (
        "[DEFAULT]\n"
        "bind_ip = 127.0.0.1\n"
        "bind_port = {port}\n"
        f"user = {user}\n"
        f"swift_dir = {etc}\n"
        "workers = {workers}\n"
        "log_name = {name}\n"
        "log_level = INFO\n"
        # A socket that is not there sends the log to stderr.
        f"log_address = {directory}/no-syslog\n"
    )
    for name in BACKENDS:
        write(
            os.path.join(etc, f"{name}-server.conf"),
            common.format(port=ports[name], workers=0, name=name)
            + f"devices = {objects}\n"
            + "mount_check = false\n"
            + "[pipeline:main]\n"
            + f"pipeline = {name}-server\n"
            + f"[app:{name}-server]\n"
            + f"use = egg:swift#{name}\n"
            + f"recon_cache_path = {directory}/recon\n"
            # The disk of a developer may be nearly full.
            + "fallocate_reserve = 0\n",
        )
    account, name, secret = USER
    write(
        os.path.join(etc, "proxy-server.conf"),
        common.format(port=ports["proxy"], workers=0, name="proxy")
        + "[pipeline:main]\n"
        "pipeline = catch_errors gatekeeper healthcheck listing_formats cache bulk s3api tempauth"
        " slo dlo proxy-server\n"
        "[app:proxy-server]\n"
        "use = egg:swift#proxy\n"
        "account_autocreate = true\n"
        "[filter:tempauth]\n"
        "use = egg:swift#tempauth\n"
        f"user_{account}_{name} = {secret} .admin\n"
        "[filter:s3api]\n"
        "use = egg:swift#s3api\n"
        f"location = {region}\n"
        "[filter:cache]\n"
        "use = egg:swift#memcache\n"
        f"memcache_servers = 127.0.0.1:{ports['memcached']}\n"
        + "".join(
            f"[filter:{filter}]\nuse = egg:swift#{filter}\n"
            for filter in (
                "catch_errors", "gatekeeper", "healthcheck", "listing_formats", "bulk", "slo", "dlo"
            )
        ),
    )
    builder = program("swift-ring-builder")
    for name in BACKENDS:
        file = os.path.join(etc, f"{name}.builder")
        for arguments in (
            ["create", "4", "1", "1"],
            ["add", f"r1z1-127.0.0.1:{ports[name]}/d1", "1"],
            ["rebalance"],
        ):
            done = subprocess.run(
                [builder, file, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
            # 1 is "with warnings", which a ring of one device always has.
            if done.returncode > 1:
                raise Failure(f"swift-ring-builder failed: {done.stdout.decode(errors='replace')}")
    return etc


def start_time(pid):
    """When the process was started, in clock ticks since boot; None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    except (OSError, IndexError):
        return None


def launch(directory, etc, ports):
    """Starts the processes, each in a session of its own, and notes them in DIR/pids."""
    commands = {
        "memcached": [
            program("memcached"), "-l", "127.0.0.1", "-p", str(ports["memcached"]), "-U", "0",
            "-m", "64", "-u", pwd.getpwuid(os.getuid()).pw_name,
        ]
    }
    for name in (*BACKENDS, "proxy"):
        commands[name] = [
            program(f"swift-{name}-server"), os.path.join(etc, f"{name}-server.conf"), "-v"
        ]
    os.makedirs(os.path.join(directory, "logs"), exist_ok=True)
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    for unwanted in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        environment.pop(unwanted, None)
    processes = {}
    with open(os.path.join(directory, "pids"), "w") as pids:
        for name, command in commands.items():
            if command[0].startswith("/usr/bin/swift-"):
                command = ["/usr/bin/python3", *command]
            with open(os.path.join(directory, "logs", f"{name}.log"), "ab") as log:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory,
                    env=environment, start_new_session=True,
                )
            processes[name] = process
            pids.write(f"{process.pid} {start_time(process.pid)} {name}\n")
            pids.flush()
    return processes


def answers(port):
    """Whether the proxy has its filters loaded and answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/healthcheck", timeout=5) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


def listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        return True
    except OSError:
        return False


def last_lines(path, count=5):
    try:
        with open(path, errors="replace") as file:
            return "".join(file.readlines()[-count:]).strip()
    except OSError:
        return ""


def wait(directory, processes, ports):
    """Returns the name of a process that ended, or None when all of them answer."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for name, process in processes.items():
            if process.poll() is not None:
                return name
        if all(listening(port) for port in ports.values()) and answers(ports["proxy"]):
            return None
        time.sleep(0.1)
    raise Failure(f"it does not answer after {START_SECONDS} s; see {directory}/logs")


def stop(directory):
    """Ends the process groups noted in DIR/pids, and no other process."""
    path = os.path.join(directory, "pids")
    try:
        with open(path) as file:
            noted = [line.split() for line in file]
    except FileNotFoundError:
        return
    # A process that has the number now but another start time is somebody else's.
    running = [
        int(fields[0]) for fields in noted
        if len(fields) == 3 and fields[1] != "None" and start_time(fields[0]) == fields[1]
    ]

    def send(pid, number):
        try:
            os.killpg(pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    for pid in running:
        send(pid, signal.SIGTERM)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(start_time(pid) for pid in running):
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            pass
        time.sleep(0.05)
    for pid in running:
        send(pid, signal.SIGKILL)
    os.unlink(path)


def start(directory, region):
    if not re.fullmatch(r"[A-Za-z0-9-]{1,63}", region):
        raise Failure(f"the region {region!r} is not letters, digits and hyphens")
    if re.search(r"[\s%]", directory):
        raise Failure(f"the directory {directory} must have no spaces or % in its path")
    if os.path.exists(os.path.join(directory, "pids")):
        stop(directory)
    check_attributes(directory)
    for attempt in range(5):
        names = (*BACKENDS, "proxy", "memcached")
        ports = dict(zip(names, free_ports(len(names))))
        etc = configure(directory, region, ports)
        processes = launch(directory, etc, ports)
        try:
            ended = wait(directory, processes, ports)
        except BaseException:
            stop(directory)
            raise
        if ended is None:
            break
        stop(directory)
        log = last_lines(os.path.join(directory, "logs", f"{ended}.log"))
        # Somebody else took a port in the meantime: other ones then.
        if attempt == 4 or not re.search(r"in use|EADDRINUSE|failed to listen", log):
            raise Failure(f"the {ended} server ended at once:\n{log}")
    account, name, secret = USER
    print(f"S3_ENDPOINT=http://127.0.0.1:{ports['proxy']}")
    print(f"S3_ACCESS_KEY={account}:{name}")
    print(f"S3_SECRET_KEY={secret}")
    print(f"S3_REGION={region}")


def main():
    action, directory = sys.argv[1], os.path.realpath(sys.argv[2])
    try:
        with open(os.path.join(directory, "lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if action == "start":
                start(directory, sys.argv[3])
            else:
                stop(directory)
    except (Failure, OSError) as error:
        print(f"object-store: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
