"""Damaged files, for as long as is asked for: python -m tests.fuzz --seconds 600 --seed 1"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time

from tests.fuzz.campaign import Campaign, Result
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import run_case


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long; all targets in turn")
    parser.add_argument("--seed", type=int, default=1, help="case numbers start at a million of it")
    parser.add_argument("--target", choices=sorted(TARGETS), help="this alone; all by default")
    parser.add_argument("--case", type=int, help="this case of --target alone, with its traceback")
    options = parser.parse_args()
    if options.case is not None:
        target = TARGETS[options.target]
        target.prepare()
        print(run_case(target, options.case, show=True))
        return 0
    names = [options.target] if options.target else sorted(TARGETS)
    results = {name: Result() for name in names}
    number = options.seed * 1_000_000
    # Ctrl-C ends it with what was found until then.
    with contextlib.suppress(KeyboardInterrupt), Campaign(names) as campaign:
        end = time.monotonic() + options.seconds
        while time.monotonic() < end:
            for name in names:
                # Those that take long are few in the tests, too.
                if len(names) > 1 and number % max(1, 100 // TARGETS[name].cases):
                    continue
                outcome = campaign.run(name, number)
                campaign.count(results[name], number, outcome)
                if outcome.startswith("fail"):
                    print(f"--target {name} --case {number}\n  {outcome[:1500]}", flush=True)
            number += 1
    for name, result in results.items():
        counts = ", ".join(f"{kind} {count}" for kind, count in sorted(result.counts.items()))
        print(f"{name}: {sum(result.counts.values())} cases: {counts}")
    failed = sum(len(result.failures) for result in results.values())
    print(f"{sum(sum(r.counts.values()) for r in results.values())} cases, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
