"""Prints the YAML documents of standard input, which Kubernetes and its tools take for YAML 1.1, as a JSON array."""

import json
import sys

import yaml

json.dump([document for document in yaml.safe_load_all(sys.stdin) if document is not None], sys.stdout)
