#!/usr/bin/env bash
# sanitize-kernels.sh [address|thread...]: the tests of src/kernels under AddressSanitizer and ThreadSanitizer.
#
# All of the project's `unsafe` is there, and the room needs little else, so it is compiled by itself. The sanitizers come with the stable compiler,
# whose flag for them is not: RUSTC_BOOTSTRAP=1 allows it. The standard library is not instrumented; what ThreadSanitizer cannot see of
# it (and of the test harness) is left out below, by name.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
sanitizers=("$@")
if [ ${#sanitizers[@]} -eq 0 ]; then sanitizers=(address thread); fi
alone=target/sanitize
mkdir -p "$alone/src"
python3 - "$alone/Cargo.toml" <<'PYTHON'
import sys
import tomllib

NEEDED = {"dependencies": ["bytemuck", "float8", "half", "libc"], "dev-dependencies": ["proptest", "rand", "rand_distr"]}
ours = tomllib.load(open("Cargo.toml", "rb"))
everything = ours["dependencies"] | ours["dev-dependencies"]
with open(sys.argv[1], "w") as out:
    out.write('[package]\nname = "kernels-alone"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n[profile.dev]\nopt-level = 1\n')
    for section, names in NEEDED.items():
        out.write(f"[{section}]\n")
        for name in names:
            it = everything[name] if isinstance(everything[name], dict) else {"version": everything[name]}
            features = ", ".join(f'"{feature}"' for feature in it.get("features", []))
            out.write(f'{name} = {{ version = "{it["version"]}", features = [{features}] }}\n')
PYTHON
printf '#[path = "%s/src/kernels/mod.rs"]\npub mod kernels;\n' "$root" >"$alone/src/lib.rs"
cp Cargo.lock "$alone/Cargo.lock"
cat >"$alone/thread.suppressions" <<'EOF'
race:std::sync::mpmc
race:std::thread
race:alloc::sync::Arc
race:test::
EOF
host=$(rustc -vV | sed -n 's/^host: //p')
for sanitizer in "${sanitizers[@]}"; do
    echo "== $sanitizer"
    (
        cd "$alone"
        # Few cases: a sanitizer looks at accesses, not at numbers.
        RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=$sanitizer -Cunsafe-allow-abi-mismatch=sanitizer" PROPTEST_CASES=16 \
            TSAN_OPTIONS="suppressions=$PWD/thread.suppressions" \
            cargo test --quiet --lib --target "$host" --target-dir "$sanitizer"
    )
done
