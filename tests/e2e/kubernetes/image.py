"""Makes an image as the shipped Dockerfile describes it, without an engine: a tar
in the form of `docker save`, which containerd imports."""

import argparse
import hashlib
import io
import json
import pathlib
import re
import shlex
import sys
import tarfile


def tar(files):
    """A tar of (name, bytes, mode) that depends on nothing else."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data, mode in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def instructions(dockerfile):
    """(instruction, argument) of each line, without comments and line breaks."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            instruction, _, argument = line.partition(" ")
            yield instruction, argument.strip()


def read(dockerfile, context):
    """The files and the configuration that the Dockerfile asks for. An instruction
    that this does not know ends the program: the image would not be the shipped one."""
    files, config = [], {"Env": []}
    for instruction, argument in instructions(dockerfile):
        if (instruction, argument) == ("FROM", "scratch"):
            continue
        if instruction == "COPY":
            *names, place = shlex.split(argument)
            if place != "/":
                sys.exit(f"{dockerfile}: COPY to {place}, not to /")
            for name in names:
                files.append((name, context[name].read_bytes(), 0o755))
        elif instruction == "ENV":
            config["Env"] += shlex.split(argument)
        elif instruction == "EXPOSE":
            config["ExposedPorts"] = {f"{port}/tcp": {} for port in argument.split()}
        elif instruction == "USER":
            config["User"] = argument
        elif instruction == "ENTRYPOINT":
            config["Entrypoint"] = json.loads(argument)
        elif instruction == "HEALTHCHECK":
            pass  # Kubernetes has probes instead, and ignores it
        else:
            sys.exit(f"{dockerfile}: {instruction} {argument}: not known to image.py")
    return files, config


def image(name, files, config):
    layer = tar(files)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
        }
    ).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    parts = [(config_name, config), ("layer.tar", layer), ("manifest.json", json.dumps(manifest).encode())]
    return tar((part, data, 0o644) for part, data in parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("name", help="NAME:TAG of the image")
    parser.add_argument("--dockerfile", type=pathlib.Path, help="without one, the image is the one file")
    parser.add_argument("files", nargs="+", metavar="NAME=PATH", help="what lies beside the Dockerfile")
    given = parser.parse_args()
    context = {name: pathlib.Path(path) for name, _, path in (file.partition("=") for file in given.files)}
    if given.dockerfile:
        files, config = read(given.dockerfile, context)
    else:
        ((name, path),) = context.items()
        files, config = [(name, path.read_bytes(), 0o755)], {"Entrypoint": [f"/{name}"]}
    given.output.write_bytes(image(given.name, files, config))


if __name__ == "__main__":
    main()
