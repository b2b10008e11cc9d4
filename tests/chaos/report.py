"""report.py - how long customers had no answer, and the other figures of a run"""
import collections

from history import ANSWERED


def percentile(values, share):
    """The nearest rank; None of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def good_answers(history, partition_of):
    """{partition: sorted times at which somebody got an answer}"""
    times = collections.defaultdict(list)
    for operation in history.operations:
        partition = partition_of.get(operation.person)
        if partition is not None:
            times[partition] += [one.ended for one in operation.attempts if one.outcome == ANSWERED]
    for mine in times.values():
        mine.sort()
    return times


def gap(times, began, ended):
    """The longest time without an answer that lies at least by half between `began` and `ended`."""
    longest = 0.0
    for before, after in zip(times, times[1:]):
        if min(after, ended) - max(before, began) >= (after - before) / 2:
            longest = max(longest, after - before)
    return longest


def measure(history, partition_of, faults):
    """Adds the gaps to each fault (a dict), and returns the figures of all together, in seconds."""
    times = good_answers(history, partition_of)
    kinds = collections.defaultdict(list)
    for fault in faults:
        mine = fault["partitions"] if fault["partitions"] is not None else sorted(times)
        gaps = {partition: gap(times[partition], fault["began"], fault["settled"]) for partition in mine if partition in times}
        fault["gap_max"] = max(gaps.values(), default=0.0)
        fault["gap_p50"] = percentile(gaps.values(), 0.5) or 0.0
        if not fault["together"]:
            kinds[fault["kind"]] += gaps.values()
    latencies = sorted(one.ended - one.began for operation in history.operations for one in operation.attempts
                       if one.outcome == ANSWERED)
    return {
        "operations": len(history.operations),
        "attempts": sum(len(operation.attempts) for operation in history.operations),
        "unknown_attempts": sum(1 for operation in history.operations for one in operation.attempts
                                if one.outcome == "unknown"),
        "answers": dict(collections.Counter("%s %d" % (operation.kind, one.status) for operation in history.operations
                                            for one in operation.attempts if one.outcome == ANSWERED)),
        "latency_ms": {name: round(1000 * (percentile(latencies, share) or 0), 2)
                       for name, share in (("p50", 0.5), ("p99", 0.99))},
        "gap_seconds": {kind: {"faults": sum(1 for fault in faults if fault["kind"] == kind and not fault["together"]),
                               "p50": round(percentile(gaps, 0.5) or 0, 3), "p99": round(percentile(gaps, 0.99) or 0, 3),
                               "max": round(max(gaps, default=0), 3)}
                        for kind, gaps in kinds.items()},
    }


def lines(figures, faults, start):
    """For people."""
    yield "%d operations in %d attempts, %d of unknown outcome; latency p50 %.1f ms, p99 %.1f ms" % (
        figures["operations"], figures["attempts"], figures["unknown_attempts"], figures["latency_ms"]["p50"],
        figures["latency_ms"]["p99"])
    yield "answers: " + ", ".join("%d %s" % (count, name) for name, count in sorted(figures["answers"].items()))
    yield "without an answer at first: " + (", ".join("%d %s" % (count, name)
                                                      for name, count in sorted(figures["troubles"].items())) or "none")
    yield "longest time without a good answer, per fault (over the partitions that it could touch; +: two at once):"
    for fault in faults:
        yield "  %6.1f s %s %-15s %-44s held %4.1f s  gap %5.2f s (half of them below %.2f)%s" % (
            fault["began"] - start, "+" if fault["together"] else " ", fault["kind"], fault["text"], fault["healed"] - fault["began"], fault["gap_max"],
            fault["gap_p50"], "" if fault["late"] is None else "  NOT RECOVERED")
    yield "recovery by kind: " + "; ".join(
        "%s p50 %.2f p99 %.2f s" % (kind, one["p50"], one["p99"]) for kind, one in sorted(figures["gap_seconds"].items()))
