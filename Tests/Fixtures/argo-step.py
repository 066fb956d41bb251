#!/usr/bin/env python3
"""What a pod's container is told to run, worked out from the files in docs/argo as Argo does it.

    argo-step.py DOCS EVENT ROOT TEMPLATE [NAME=VALUE ...]

EVENT is a JSON file with the `headers` and the `body` of a webhook. The Sensor's filters and parameter mapping are applied
to it, then the Workflow's arguments are handed to TEMPLATE of the ClusterWorkflowTemplate, whose {{...}} are filled in.
NAME=VALUE overrides an argument of the Workflow, as whoever installs the Sensor edits it. Paths of mounts and outputs are
put below ROOT. Prints JSON: command, env, mounts and outputs, or null if the filters let no workflow start.
"""
import json
import re
import sys

import yaml


def look_up(event, path):
    for name in path.split("."):
        event = event[name]
    return event


def passes(data, event):
    """Argo Events reads values of strings as regular expressions, and a header is a list of strings."""
    found = look_up(event, data["path"])
    if data["type"] == "bool":
        return json.dumps(found) in data["value"]
    text = found if isinstance(found, str) else json.dumps(found)
    return any(re.search(value, text) for value in data["value"])


def fill_in(text, values):
    return re.sub(r"\{\{([^}]*)\}\}", lambda match: values[match.group(1).strip()], text)


def main():
    docs, event_file, root, template_name, *overrides = sys.argv[1:]
    with open(event_file) as file:
        event = json.load(file)
    with open(f"{docs}/sensor.yaml") as file:
        sensor = yaml.safe_load(file)["spec"]
    with open(f"{docs}/cluster-workflow-template.yaml") as file:
        templates = yaml.safe_load(file)["spec"]["templates"]

    (dependency,) = sensor["dependencies"]
    if not all(passes(data, event) for data in dependency["filters"]["data"]):
        print("null")
        return

    (trigger,) = sensor["triggers"]
    trigger = trigger["template"]["k8s"]
    workflow = trigger["source"]["resource"]
    for parameter in trigger["parameters"]:
        value = look_up(event, parameter["src"]["dataKey"])
        *path, last = parameter["dest"].split(".")
        place = workflow
        for name in path:
            place = place[int(name)] if name.isdigit() else place[name]
        place[last] = value
    spec = workflow["spec"]
    arguments = {one["name"]: one["value"] for one in spec["arguments"]["parameters"]}
    arguments.update(override.split("=", 1) for override in overrides)

    workflow_values = {f"workflow.parameters.{name}": value for name, value in arguments.items()}
    (entry,) = [one for one in spec["templates"] if one["name"] == spec["entrypoint"]]
    step = entry["steps"][0][0]
    given = {one["name"]: fill_in(one["value"], workflow_values) for one in step["arguments"]["parameters"]}

    (template,) = [one for one in templates if one["name"] == template_name]
    values = {}
    for parameter in template["inputs"]["parameters"]:
        # A parameter that is given as an empty text is given: the default is not taken.
        values[f"inputs.parameters.{parameter['name']}"] = given.get(parameter["name"], parameter.get("value"))
    container = template["container"]
    volumes = {volume["name"] for volume in spec["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    missing = set(mounts.values()) - volumes
    assert not missing, f"the workflow declares no volumes {missing}"
    outputs = [one["valueFrom"]["path"] for one in template.get("outputs", {}).get("parameters", [])]

    def below_root(text):
        for path in list(mounts) + outputs:
            text = re.sub(rf"(^|=){re.escape(path)}(?=/|$)", rf"\g<1>{root}{path}", text)
        return text

    command = container["command"] + [below_root(fill_in(text, values)) for text in container["args"]]
    env = {one["name"]: below_root(one["value"]) for one in container.get("env", []) if "value" in one}
    secret = [one["name"] for one in container.get("env", []) if "valueFrom" in one]
    json.dump(
        {"command": command, "env": env, "secret": secret, "mounts": {root + path: name for path, name in mounts.items()},
         "outputs": [root + path for path in outputs]}, sys.stdout)


main()
