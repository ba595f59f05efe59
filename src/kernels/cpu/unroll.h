// Unrolls a loop whose count is a template argument, so that its arrays become registers: g++ 12 at
// -O2 leaves them in memory.
#pragma once

#define MINKE_UNROLL _Pragma("GCC unroll 16")
