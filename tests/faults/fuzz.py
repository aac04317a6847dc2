"""Coverage-guided fuzzing by Atheris: `python -m faults.fuzz idx -max_total_time=600`.

Inputs of tests/faults/corpus are changed, and those that reach new branches of the package kept in build/fuzz. What
stands behind the target's name are libFuzzer's options; a finding ends the run, and its input lies in build/fuzz too.
`-merge=1` adds those that the corpus lacks to it.
"""

import argparse
import sys
from pathlib import Path

FOUND = Path("build/fuzz")


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["fastnn"]):
        from faults import targets
    parser = argparse.ArgumentParser(prog="python -m faults.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=targets.TARGETS)
    options, libfuzzer = parser.parse_known_args()
    corpus, found = targets.CORPUS / options.target, FOUND / options.target
    found.mkdir(parents=True, exist_ok=True)
    folders = [str(found), str(corpus)]
    if any(option.startswith("-merge=1") for option in libfuzzer):
        folders.reverse()  # the first is added to
    limits = ["-timeout=60", "-rss_limit_mb=2048", f"-artifact_prefix={found}-"]
    atheris.Setup([sys.argv[0], *folders, *limits, *libfuzzer], targets.TARGETS[options.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
