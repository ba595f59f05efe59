# minke_cuda_images(TARGET a.cu ...): compiles each .cu to machine code for sm_90a and embeds it in
# TARGET, where cuda_images() finds it. Only device code goes through nvcc; all that runs on the host
# is compiled like the rest of minke.

set(MINKE_CUDA_TOOLKIT ${CMAKE_SOURCE_DIR}/build/cuda-toolkit CACHE PATH "Where nvcc and cuda.h are")

function(minke_cuda_images target)
  if(NOT EXISTS ${MINKE_CUDA_TOOLKIT}/bin/nvcc)
    execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tools/fetch_cuda.sh ${MINKE_CUDA_TOOLKIT}
                    COMMAND_ERROR_IS_FATAL ANY)
  endif()
  set(declarations "")
  set(assembly "")
  set(entries "")
  set(cubins "")
  foreach(source ${ARGN})
    get_filename_component(name ${source} NAME_WE)
    set(cubin ${CMAKE_CURRENT_BINARY_DIR}/${name}.cubin)
    # No fused or flushed arithmetic but what the source spells out, except that denormals are zero
    # as they are on the processor: docs/numerics.md.
    add_custom_command(
      OUTPUT ${cubin}
      COMMAND ${MINKE_CUDA_TOOLKIT}/bin/nvcc -std=c++20 -O3 -fmad=false -ftz=true -prec-div=true
              -prec-sqrt=true -cubin -gencode=arch=compute_90a,code=sm_90a -lineinfo
              -Werror all-warnings -I${CMAKE_SOURCE_DIR}/src -MD -MF ${cubin}.d
              -ccbin g++ -o ${cubin} ${CMAKE_CURRENT_SOURCE_DIR}/${source}
      DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${source}
      DEPFILE ${cubin}.d
      COMMENT "nvcc ${source}"
      VERBATIM)
    string(APPEND assembly
      "asm(\".section .rodata\\n.balign 64\\n.global minke_${name}_begin\\nminke_${name}_begin:\\n\"\n"
      "    \".incbin \\\"${cubin}\\\"\\n.global minke_${name}_end\\nminke_${name}_end:\\n.previous\\n\");\n")
    string(APPEND declarations
      "extern const std::byte minke_${name}_begin[];\nextern const std::byte minke_${name}_end[];\n")
    string(APPEND entries "      {minke_${name}_begin, minke_${name}_end},\n")
    list(APPEND cubins ${cubin})
  endforeach()
  set(images ${CMAKE_CURRENT_BINARY_DIR}/images.cpp)
  file(CONFIGURE OUTPUT ${images} CONTENT
"// Made by cmake/MinkeCuda.cmake.
#include \"kernels/cuda/images.h\"

${assembly}
extern \"C\" {
${declarations}}

namespace minke {

std::span<const std::span<const std::byte>> cuda_images() {
  static const std::span<const std::byte> images[] = {
${entries}  };
  return images;
}

}  // namespace minke
" @ONLY)
  set_source_files_properties(${images} PROPERTIES OBJECT_DEPENDS "${cubins}")
  target_sources(${target} PRIVATE ${images})
  target_include_directories(${target} SYSTEM PRIVATE ${MINKE_CUDA_TOOLKIT}/include)
  target_link_libraries(${target} PRIVATE ${CMAKE_DL_LIBS})
endfunction()
