#!/usr/bin/env bash
# Style and faults of the native code, with clang-format and clang-tidy 14, as on Debian 12.
#
#   bash scripts/lint-native.sh           says what is not formatted
#   bash scripts/lint-native.sh --fix     formats
#   bash scripts/lint-native.sh --tidy    looks for faults (minutes); kernels, which are compiled once for each instruction set, are left out
set -euo pipefail
cd "$(dirname "$0")/../native"

need() { command -v "$1" >/dev/null || { echo "error: lint of native/ needs $1; on Debian: apt-get install $1" >&2; exit 1; }; }

mapfile -t files < <(find src test -name '*.cc' -o -name '*.h' -o -name '*.inl' | sort)
case ${1:-} in
  '')
    need clang-format
    clang-format --dry-run -Werror "${files[@]}" || { echo "error: native/ is not formatted; run bash scripts/lint-native.sh --fix" >&2; exit 1; } ;;
  --fix)
    need clang-format
    clang-format -i "${files[@]}" ;;
  --tidy)
    need clang-tidy; need cmake
    cmake -S . -B build/lint -DTROUPE_TESTS=ON -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >/dev/null
    find src -name '*.cc' ! -path 'src/kernel/*' ! -path 'src/collective/reduction/*' ! -path 'src/addon/*' | sort |
      xargs -P 2 -n 4 clang-tidy -p build/lint --quiet || { echo "error: clang-tidy found faults in native/, see above" >&2; exit 1; } ;;
  *) echo "error: expected nothing, --fix or --tidy, found $1" >&2; exit 1 ;;
esac
