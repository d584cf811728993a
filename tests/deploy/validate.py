"""Holds the Kubernetes objects of standard input against the schemas of the three newest versions there are.

Prints JSON: the versions, the kinds that no version knows, how many objects each version accepted, and what was refused and why.
"""

import json
import pathlib
import re
import sys

import kubernetes_validate
import yaml


def versions():
    """The three newest minor versions that the package carries, oldest first."""
    names = (path.name for path in pathlib.Path(kubernetes_validate.__file__).parent.rglob("*"))
    found = {re.match(r"v?(\d+)\.(\d+)", name) for name in names} - {None}
    minors = sorted({(int(match[1]), int(match[2])) for match in found if int(match[1]) == 1})
    return [f"{major}.{minor}" for major, minor in minors[-3:]]


def main():
    documents = [document for document in yaml.safe_load_all(sys.stdin) if document is not None]
    report = {"versions": versions(), "unknown": [], "accepted": {}, "refused": []}
    for version in report["versions"]:
        report["accepted"][version] = 0
        for document in documents:
            kind = f"{document['apiVersion']}/{document['kind']}"
            name = document["metadata"]["name"]
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.SchemaNotFoundError:
                report["unknown"].append(kind)
            except kubernetes_validate.ValidationError as error:
                report["refused"].append(f"{version} {kind} {name}: {error.message}")
            else:
                report["accepted"][version] += 1
    report["unknown"] = sorted(set(report["unknown"]))
    json.dump(report, sys.stdout)


main()
