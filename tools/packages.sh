# shellcheck shell=bash disable=SC2034
# The Debian packages that minke needs, in this one place. ./run installs the first list, ./test the
# second as well, and `./test asan|tsan|fuzz|lint` the third. After a change of this file both look
# once more whether everything is there.

minke_build_packages=(
  g++ cmake ninja-build pkg-config ccache
  libfmt-dev nlohmann-json3-dev libutf8proc-dev libedit-dev
  libcurl4-openssl-dev libssl-dev libzip-dev zlib1g-dev
  libboost1.81-dev libsqlite3-dev libtomlplusplus-dev
  bubblewrap # runs code that models write, to see whether it is right
  poppler-utils # pdftotext reads PDFs that are attached to messages
  ca-certificates python3 python3-pip # pip fetches the parts of a model
)

minke_test_packages=(
  libgtest-dev libgmock-dev python3-venv
  librsvg2-bin # draws the PNGs of minke plot
)

minke_check_packages=(clang-19 libclang-rt-19-dev lld-19 clang-format-19 clang-tidy-19 shellcheck git)

# The chat app's tests. Node itself may come from anywhere, as long as it is 18 or later.
minke_web_packages=(chromium)
if ! command -v npm >/dev/null; then minke_web_packages+=(nodejs npm); fi
