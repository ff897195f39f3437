"""A strict reader of Prometheus' text format 0.0.4: more is refused than a server of Prometheus would.

    m = scrape(node)
    m.value("holdfast_term")
    m.value("holdfast_http_requests_total", method="PUT", route="/v1/kv/*", code="200")     0 where it is not shown
"""

import math
import re

import requests

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SUFFIXES = {"counter": [""], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}


class Malformed(Exception):
    pass


def demand(holds, line):
    if not holds:
        raise Malformed(line)


def unescape(text):
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text)


def read_labels(text, line):
    """A dict of what stands between the braces."""
    labels, at = {}, 0
    while True:
        found = LABEL.match(text, at)
        demand(found and found[1] not in labels, line)
        labels[found[1]] = unescape(found[2])
        at = found.end()
        if at == len(text):
            return labels
        demand(text[at] == ",", line)
        at += 1


class Metrics:
    def __init__(self, text):
        self.types = {}
        self.samples = {}  # (name, labels as a sorted tuple) -> value
        demand(text.endswith("\n") and "\n\n" not in text and "\r" not in text, "the end of lines")
        self.read(text[:-1].split("\n"))
        for family, kind in self.types.items():
            if kind == "histogram":
                self.check_histogram(family)

    def read(self, lines):
        family = helped = None
        for line in lines:
            if line.startswith("# HELP "):
                helped, text = re.fullmatch(rf"# HELP ({NAME}) (.+)", line).groups()
                demand(helped not in self.types and not re.search(r"\\[^\\n]", text), line)
                family = None
            elif line.startswith("# TYPE "):
                family, kind = re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge|histogram)", line).groups()
                demand(family == helped and family not in self.types, line)
                demand(family.startswith(("holdfast_", "process_")) and family.endswith("_total") == (kind == "counter"), line)
                self.types[family] = kind
            else:
                demand(family is not None, line)
                self.read_sample(family, line)

    def read_sample(self, family, line):
        found = SAMPLE.fullmatch(line)
        demand(found, line)
        name, labels, value = found[1], read_labels(found[2], line) if found[2] is not None else {}, float(found[3])
        demand(name in [family + suffix for suffix in SUFFIXES[self.types[family]]], line)
        demand(name.endswith("_bucket") == ("le" in labels), line)
        demand(math.isfinite(value) and value >= 0, line)
        key = (name, tuple(sorted(labels.items())))
        demand(key not in self.samples, line)
        self.samples[key] = value

    def check_histogram(self, family):
        """Buckets rise to +Inf, which is the count; a sum for each."""
        series = {}
        for (name, labels), value in self.samples.items():
            if name == family + "_bucket":
                rest = tuple(pair for pair in labels if pair[0] != "le")
                series.setdefault(rest, []).append((float(dict(labels)["le"]), value))
        for labels, buckets in series.items():
            bounds, counts = zip(*buckets)
            demand(list(bounds) == sorted(set(bounds)) and bounds[-1] == math.inf, family)
            demand(list(counts) == sorted(counts) and counts[-1] == self.samples[(family + "_count", labels)], family)
            demand((family + "_sum", labels) in self.samples, family)
        for suffix in ("_count", "_sum"):
            demand(sum(name == family + suffix for name, _ in self.samples) == len(series), family)

    def value(self, name, **labels):
        return self.samples.get((name, tuple(sorted(labels.items()))), 0)

    def counters(self):
        """What never falls: counters, and all of histograms. What the kernel counts of a process ends with it."""
        for (name, labels), value in self.samples.items():
            if name.startswith("process_"):
                continue
            family = re.sub(r"_(bucket|sum|count)$", "", name)
            if self.types.get(name) == "counter" or self.types.get(family) == "histogram":
                yield (name, labels), value


def scrape(node):
    answer = requests.get(node.url + "/metrics", timeout=10)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Metrics(answer.text)


def assert_rose(before, after):
    for key, value in before.counters():
        assert after.samples[key] >= value, key
