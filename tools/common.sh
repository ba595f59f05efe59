# shellcheck shell=bash
# What ./run, ./test and .ci/run share: words on stderr, packages, the build. Sourced from the root
# of the tree, with tools/packages.sh.

shopt -s checkwinsize # keeps COLUMNS right, for show_progress

say() { printf '%s\n' "$*" >&2; }
die() {
  say "$(basename "$0"): $*"
  exit 1
}

# Yes unless a person at the terminal says no. Without a terminal, or with --yes, nobody is asked.
agreed() {
  local answer
  [[ ${minke_yes:-0} == 1 || ! -t 0 || ! -t 2 ]] && return 0
  read -r -p "$1 [Y/n] " answer </dev/tty || return 1
  [[ -z $answer || $answer == [yY]* ]]
}

# Copies lines to a log. A terminal sees the latest one; elsewhere each new tenth of "[done/all]".
show_progress() {
  local log=$1 what=$2 line tenth=-1
  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$log"
    # With nothing to build, ninja still looks whether there are new files.
    [[ $line == ninja:* || $line == *"Re-checking globbed directories"* ]] && continue
    if [[ -t 2 ]]; then
      printf '\r\033[K%s' "${line:0:$((${COLUMNS:-80} - 1))}" >&2
    elif [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]] &&
      ((BASH_REMATCH[1] * 10 / BASH_REMATCH[2] > tenth)); then
      tenth=$((BASH_REMATCH[1] * 10 / BASH_REMATCH[2]))
      say "$what: ${BASH_REMATCH[1]} of ${BASH_REMATCH[2]}"
    fi
  done
  [[ -t 2 ]] && printf '\r\033[K' >&2
  return 0
}

show_failure() {
  local log=$1
  say "The last lines of $log:"
  tail -n 40 "$log" >&2
}

missing_packages() {
  local package
  for package in "$@"; do
    # shellcheck disable=SC2016
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
      printf '%s\n' "$package"
  done
}

is_root() { ((EUID == 0)); }

# install_packages STAMP PACKAGE...: installs what is missing, by name, and remembers in the stamp
# that it looked.
install_packages() {
  local stamp=build/.packages-$1 log=build/apt.log as_root=() missing
  shift
  cmp -s tools/packages.sh "$stamp" && return 0
  mkdir -p build
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "This is no Debian system. The build needs what these Debian packages hold: $*"
  else
    mapfile -t missing < <(missing_packages "$@")
    if ((${#missing[@]})); then
      say "These Debian packages are needed and missing: ${missing[*]}"
      if ! is_root; then
        as_root=(sudo)
        [[ -t 0 ]] || as_root=(sudo -n) # nobody is there to type a password
        { command -v sudo && { [[ -t 0 ]] || sudo -n true; }; } &>/dev/null ||
          die "only root can install them; run this as root, then again:
  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
      fi
      agreed "Install them with apt-get?" || die "without them there is nothing to build with"
      say "Installing ${#missing[@]} packages (the log is $log) ..."
      : >"$log"
      { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
          apt-get install -y --no-install-recommends "${missing[@]}"; } 2>&1 </dev/null |
        show_progress "$log" "apt-get" || true
      mapfile -t missing < <(missing_packages "$@")
      if ((${#missing[@]})); then
        show_failure "$log"
        die "apt-get did not install: ${missing[*]}"
      fi
    fi
  fi
  cp tools/packages.sh "$stamp"
}

# One compiler takes up to 1 GB of memory.
build_jobs() {
  local cores gigabytes
  [[ -n ${MINKE_BUILD_JOBS:-} ]] && {
    echo "$MINKE_BUILD_JOBS"
    return
  }
  cores=$(nproc)
  gigabytes=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
  ((gigabytes < 1)) && gigabytes=1
  echo $((gigabytes < cores ? gigabytes : cores))
}

# build PRESET TESTS TARGET...: configures where needed and builds. TESTS is ON or OFF; a folder
# that was configured with tests keeps them.
build() {
  local preset=$1 tests=$2 folder=build/$1 log=build/$1.log
  shift 2
  mkdir -p build
  : >"$log"
  if [[ -f $folder/CMakeCache.txt ]] &&
    ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" "$folder/CMakeCache.txt"; then
    rm -rf "$folder" # it was configured for a tree in another place
  fi
  if [[ ! -f $folder/build.ninja ]] ||
    { [[ $tests == ON ]] && grep -q '^MINKE_TESTS:BOOL=OFF' "$folder/CMakeCache.txt"; }; then
    command -v ccache >/dev/null && export CMAKE_CXX_COMPILER_LAUNCHER=ccache
    # The presets with sanitizers name their compiler themselves.
    export CXX=${CXX:-g++}
    if ! cmake --preset "$preset" "-DMINKE_TESTS=$tests" >>"$log" 2>&1; then
      rm -f build/.packages-*
      show_failure "$log"
      die "the build could not be configured"
    fi
  fi
  if ! ninja -C "$folder" -j "$(build_jobs)" "$@" 2>&1 | show_progress "$log" "building"; then
    rm -f build/.packages-*
    show_failure "$log"
    die "the build failed"
  fi
}
