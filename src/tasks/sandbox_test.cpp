#include "tasks/sandbox.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace minke {
namespace {

class Sandbox : public ::testing::Test {
 protected:
  void SetUp() override {
    const Status ready = sandbox_ready();
    if (!ready) GTEST_SKIP() << ready.error().message;
  }
  static SandboxOutcome run(std::string_view program, const SandboxLimits& limits = {}) {
    const auto outcome = run_python(program, limits);
    EXPECT_TRUE(outcome.has_value()) << (outcome ? "" : outcome.error().message);
    return *outcome;
  }
  // Runs what must be refused: it has to raise an OSError.
  static void expect_refused(std::string_view statement) {
    const SandboxOutcome outcome =
        run("import os, socket, subprocess\ntry:\n    " + std::string(statement) +
            "\nexcept OSError as error:\n    print('refused')\n");
    EXPECT_EQ(outcome.output, "refused\n") << statement << ": " << outcome.errors;
  }
};

TEST_F(Sandbox, RunsAProgramToItsEnd) {
  const SandboxOutcome outcome =
      run("import math, sys\nprint(math.gcd(12, 18))\n"
          "print('note', file=sys.stderr)");
  EXPECT_TRUE(outcome.succeeded) << outcome.errors;
  EXPECT_EQ(outcome.output, "6\n");
  EXPECT_EQ(outcome.errors, "note\n");
}

TEST_F(Sandbox, AnEndOnTheWayIsNoSuccess) {
  EXPECT_FALSE(run("raise SystemExit(0)").succeeded);
  EXPECT_FALSE(run("import os\nos._exit(0)").succeeded);
  EXPECT_FALSE(run("assert 1 == 2").succeeded);
  EXPECT_FALSE(run("def f(:").succeeded);
  EXPECT_FALSE(run("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)").succeeded);
  EXPECT_FALSE(run("import sys\nsys.stdout.close()").succeeded);
}

TEST_F(Sandbox, HasNoNetworkFilesOrChildren) {
  expect_refused("socket.create_connection(('127.0.0.1', 80), 1)");
  expect_refused("socket.create_connection(('1.1.1.1', 53), 1)");
  expect_refused("open('/etc/passwd')");
  expect_refused("open('/usr/x', 'w')");
  expect_refused("open('/x', 'w')");
  expect_refused("open('/dev/x', 'w')");
  expect_refused("os.listdir('/home')");
  expect_refused("os.listdir('/root')");
  expect_refused("os.fork()");
  expect_refused("subprocess.run(['/bin/true'])");
  expect_refused("os.posix_spawn('/bin/true', ['true'], {})");
  expect_refused("os.unshare(0x10000000) if hasattr(os, 'unshare') else os.chroot('/')");
}

TEST_F(Sandbox, AllowsThreadsAndAPrivateTmp) {
  EXPECT_EQ(run("import threading\nt = threading.Thread(target=lambda: print('hi'))\nt.start()\n"
                "t.join()")
                .output,
            "hi\n");
  EXPECT_EQ(run("open('/tmp/a', 'w').write('x')\nprint(open('/tmp/a').read())").output, "x\n");
  EXPECT_EQ(run("import os\nprint(os.listdir('/tmp'))").output, "[]\n");
}

TEST_F(Sandbox, BoundsTimeMemoryFilesAndOutput) {
  const auto start = std::chrono::steady_clock::now();
  const SandboxOutcome slow = run("while True: pass", {.time_ms = 300});
  EXPECT_TRUE(slow.timed_out);
  EXPECT_FALSE(slow.succeeded);
  EXPECT_TRUE(run("import time\ntime.sleep(60)", {.time_ms = 300}).timed_out);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  EXPECT_FALSE(run("x = bytearray(1 << 31)").succeeded);
  EXPECT_FALSE(run("f = open('/tmp/a', 'wb')\nfor i in range(64): f.write(bytes(1 << 20))\n"
                   "f.close()")
                   .succeeded);
  EXPECT_FALSE(run("for i in range(8):\n    f = open(f'/tmp/{i}', 'wb')\n"
                   "    f.write(bytes(4 << 20))\n    f.close()")
                   .succeeded);
  const SandboxOutcome loud = run("print('x' * (1 << 22))");
  EXPECT_FALSE(loud.succeeded);
  EXPECT_EQ(loud.output.size(), size_t{64} << 10);
}

}  // namespace
}  // namespace minke
