# The three kinds of target that minke has: a room, a room's tests, a fuzz target.

# What ./test asks for by name.
add_custom_target(test_programs)
add_custom_target(fuzz_programs)

add_library(minke_options INTERFACE)
target_include_directories(minke_options INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
# No fused or reordered arithmetic that the source does not spell out: docs/numerics.md rests on it.
target_compile_options(minke_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wconversion -Wno-sign-conversion -Wno-missing-field-initializers -Werror
  -ffp-contract=off -fno-math-errno)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports overlapping copies inside its own std::string (GCC bug 105651).
  target_compile_options(minke_options INTERFACE -Wno-restrict)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # libstdc++ 12 uses what it deprecates, in std::stable_sort.
  target_compile_options(minke_options INTERFACE -Wno-deprecated-declarations)
endif()
if(MINKE_SANITIZE)
  target_compile_definitions(minke_options INTERFACE MINKE_SANITIZED)
  target_compile_options(minke_options INTERFACE -fsanitize=${MINKE_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(minke_options INTERFACE -fsanitize=${MINKE_SANITIZE})
endif()
if(MINKE_FUZZ)
  # Every object tells the fuzzer which way it went; without a fuzzer that costs little, and so the
  # tests with AddressSanitizer and the fuzz targets are one build.
  target_compile_options(minke_options INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(minke_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
find_program(MINKE_LLD NAMES ld.lld ld.lld-19)
if(MINKE_LLD AND NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_link_options(minke_options INTERFACE -fuse-ld=lld)
endif()

# minke_room(NAME SOURCES a.cpp ... DEPS room ... [LIBS imported ...])
function(minke_room name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_library(minke_${name} STATIC ${arg_SOURCES})
  target_link_libraries(minke_${name} PUBLIC minke_options Threads::Threads)
  foreach(dep ${arg_DEPS})
    target_link_libraries(minke_${name} PUBLIC minke_${dep})
  endforeach()
  target_link_libraries(minke_${name} PRIVATE ${arg_LIBS})
endfunction()

# minke_tests(NAME SOURCES a_test.cpp ... DEPS room ...): one GoogleTest program a room,
# build/<preset>/bin/<NAME>_tests, found there by ./test.
function(minke_tests name)
  if(NOT MINKE_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_executable(${name}_tests ${arg_SOURCES})
  target_compile_definitions(${name}_tests PRIVATE MINKE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  foreach(dep ${arg_DEPS})
    target_link_libraries(${name}_tests PRIVATE minke_${dep})
  endforeach()
  target_link_libraries(${name}_tests PRIVATE ${arg_LIBS} GTest::gmock GTest::gtest GTest::gtest_main)
  set_target_properties(${name}_tests PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  add_dependencies(test_programs ${name}_tests)
  add_test(NAME ${name} COMMAND ${name}_tests)
endfunction()

# minke_fuzz(NAME SOURCES a_fuzz.cpp DEPS room ...): a libFuzzer program; its corpus is
# tests/fuzz/NAME/.
function(minke_fuzz name)
  if(NOT MINKE_FUZZ)
    return()
  endif()
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  if(NOT IS_DIRECTORY ${CMAKE_SOURCE_DIR}/tests/fuzz/${name})
    message(FATAL_ERROR "fuzz_${name} has no corpus: expected the folder tests/fuzz/${name}")
  endif()
  add_executable(fuzz_${name} ${arg_SOURCES})
  foreach(dep ${arg_DEPS})
    target_link_libraries(fuzz_${name} PRIVATE minke_${dep})
  endforeach()
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  add_dependencies(fuzz_programs fuzz_${name})
endfunction()
