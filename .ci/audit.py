"""What a report of pip-audit means for the book's lock, in a sentence.

    make audit                                     asks the package index about every package of the lock
    python3 .ci/audit.py report.json               judges a report that was made elsewhere

pip-audit says "No known vulnerabilities found" also of packages that it could not look up, as behind a mirror
that lacks the index's JSON pages. Here such a package is a failure. A finding passes if `.ci/packages.toml`
explains it, and an explanation fails when its finding is gone.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHOWN = 5


def problems(report: dict[str, Any], explained: dict[str, dict[str, str]], lock: str) -> list[str]:
    """What stands in the way, one sentence each.

    Args:
        report: pip-audit's report (`--format json`).
        explained: identifier of a finding -> the `package` and `why` it may pass.
        lock: text of the lock that was audited.
    """
    packages = report["dependencies"]
    locked = {name.lower() for name in re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==", lock, re.MULTILINE)}
    asked = {package["name"].lower() for package in packages if "skip_reason" not in package}
    found = []
    if missing := sorted(locked - asked):
        some = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
        found.append(f"{len(missing)} of {len(locked)} packages were not looked up: {some}.")
    seen = set()
    for package in packages:
        for weakness in package.get("vulns", []):
            names = {weakness["id"], *weakness.get("aliases", [])}
            known = {
                name for name in names & explained.keys() if explained[name]["package"] == package["name"]
            }
            seen |= known
            if not known:
                mended = ", ".join(weakness.get("fix_versions", [])) or "no version yet"
                which = f"{package['name']} {package['version']}"
                found.append(f"{which} has {weakness['id']}; it is mended in: {mended}.")
    gone = sorted(explained.keys() - seen)
    return found + [f"{name} is explained, and was not found any more." for name in gone]


def main(path: str) -> str | None:
    """Judge a report, or say why not."""
    explained = tomllib.loads((ROOT / ".ci/packages.toml").read_text(encoding="utf-8"))["findings"]
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
        found = problems(report, explained, (ROOT / "requirements.txt").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{path} is no report of pip-audit ({type(error).__name__}): pip-audit --format json."
    if found:
        return "\n".join(found)
    print(f"No known weakness but {len(explained)} explained, in {len(report['dependencies'])} packages.")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) if len(sys.argv) == 2 else __doc__)
