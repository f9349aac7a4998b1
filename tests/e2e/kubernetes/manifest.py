"""The shipped manifests, and what an arm changes of them."""

import copy
import pathlib

FOLDER = pathlib.Path(__file__).resolve().parents[3] / "examples" / "deploy" / "kubernetes"

# What 1.20 does not know yet, in every arm.
OLDER = {"PodDisruptionBudget": ("policy/v1", "policy/v1beta1")}


def shipped(file):
    """The objects of a shipped file as Kubernetes 1.20 knows them."""
    import yaml  # not needed to name the arms

    objects = list(yaml.safe_load_all((FOLDER / file).read_text()))
    for one in objects:
        if one["kind"] in OLDER:
            newer, older = OLDER[one["kind"]]
            if one["apiVersion"] != newer:
                raise ValueError(f"{file}: {one['kind']} is no longer {newer}")
            one["apiVersion"] = older
    return objects


def differences(file):
    """What `shipped` changes, in words."""
    text = (FOLDER / file).read_text()
    return [f"{kind}: {older} for {newer}" for kind, (newer, older) in OLDER.items() if kind in text]


def deployment(objects):
    return next(one for one in objects if one["kind"] == "Deployment")


def container(objects):
    (only,) = deployment(objects)["spec"]["template"]["spec"]["containers"]
    return only


class Change:
    """One difference from the shipped manifest, and the words for it."""

    def __init__(self, words, apply):
        self.words, self.apply = words, apply


def setting(name, value, shipped=True):
    """Sets a variable of the container; `shipped` says whether the file has it."""

    def apply(objects):
        environment = container(objects)["env"]
        others = [one for one in environment if one["name"] != name]
        if (len(others) < len(environment)) != shipped:
            raise ValueError(f"whether the file sets {name} is no longer {shipped}")
        environment[:] = [*others, {"name": name, "value": value}]

    return Change(f"{name}={value}", apply)


def replicas(count):
    def apply(objects):
        deployment(objects)["spec"]["replicas"] = count

    return Change(f"{count} replicas", apply)


def says_its_pod():
    def apply(objects):
        field = {"fieldRef": {"fieldPath": "metadata.name"}}
        container(objects)["env"].append({"name": "NAME", "valueFrom": field})

    return Change("answers say their pod (NAME)", apply)


def readiness_asks_liveness():
    def apply(objects):
        container(objects)["readinessProbe"]["httpGet"]["path"] = "/livez"

    return Change("the readiness probe asks /livez", apply)


def no_startup_probe():
    def apply(objects):
        del container(objects)["startupProbe"]

    return Change("no startup probe", apply)


def pre_stop_drains():
    def apply(objects):
        only = container(objects)
        # Commands are refused in the volume itself, which every user may write to;
        # the deploy example makes the folder below it.
        socket = "unix:/run/app/own/admin.sock"
        setting("ADMIN", socket, shipped=False).apply(objects)
        command = ["/readiness", "drain", "--wait", "--addr", socket]
        only["lifecycle"] = {"preStop": {"exec": {"command": command}}}
        only["volumeMounts"] = [{"name": "run", "mountPath": "/run/app"}]
        deployment(objects)["spec"]["template"]["spec"]["volumes"] = [{"name": "run", "emptyDir": {}}]

    return Change("preStop: readiness drain --wait", apply)


def changed(objects, changes):
    objects = copy.deepcopy(objects)
    for change in changes:
        change.apply(objects)
    return objects
