"""Recomputes every known answer from docs/protocol.md and SPEC.md, sharing no code with the Rust crates, and compares it with the
committed JSON. The Rust tests hold the crates against the same files.

check.py           compare, exit 1 on a difference
check.py --write   write the files anew, after a change of the documents"""

import argparse
import json
import pathlib
import sys

import derivations
import identities
import messages

HERE = pathlib.Path(__file__).resolve().parent
WIRE = HERE.parent.parent / "wire" / "vectors"


def files():
    yield HERE / "derivation.json", derivations.derivation()
    yield HERE / "signatures.json", derivations.signatures()
    yield HERE / "certificates.json", derivations.certificates()
    yield HERE / "hpke.json", derivations.hpke()
    yield HERE / "root_file.json", derivations.root_file()
    yield HERE / "sealed_files.json", derivations.sealed_files()
    yield HERE / "identities.json", identities.identities()
    yield HERE / "report_data.json", identities.report_data()
    yield HERE / "transcripts.json", messages.transcripts()
    yield WIRE / "messages.json", messages.messages()


def count(value):
    """Leaves of a JSON value."""
    if isinstance(value, dict):
        return sum(map(count, value.values()))
    if isinstance(value, list):
        return sum(map(count, value))
    return 1


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--write", action="store_true")
    write = arguments.parse_args().write
    failed = False
    for path, computed in files():
        text = json.dumps(computed, indent=2, ensure_ascii=False) + "\n"
        name = f"{path.parent.parent.name}/vectors/{path.name}"
        if write:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            print(f"{name}: wrote {count(computed)} values")
        elif not path.exists() or path.read_text() != text:
            failed = True
            print(f"{name}: expected the values computed here, got others; see `git diff` after check.py --write")
        else:
            print(f"{name}: {count(computed)} values as computed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
