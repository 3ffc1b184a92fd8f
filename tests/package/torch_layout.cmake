# SPDX-License-Identifier: Apache-2.0
#
# Makes a folder laid out as LibTorch's wheel with CUDA is, filled with empty libraries, and checks what our finder does
# with it. CASE:
#   cuda     Torch_DIR names the folder of a TorchConfig.cmake that gives up; the CUDA libraries are kept by the linker
#   prefix   CMAKE_PREFIX_PATH names the site-packages
#   old      LibTorch 2.10 is refused in one line
#   missing  Torch_DIR names a folder without LibTorch

include("${CMAKE_CURRENT_LIST_DIR}/run.cmake")
file(REMOVE_RECURSE "${WORK}")
set(site "${WORK}/site-packages")
set(root "${site}/torch")
set(minor 11)
if(CASE STREQUAL "old")
  set(minor 10)
endif()

file(WRITE "${root}/include/torch/headeronly/version.h"
     "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR ${minor}\n#define TORCH_VERSION_PATCH 0\n")
file(WRITE "${root}/include/torch/csrc/api/include/torch/torch.h" "#define FAKE_TORCH 1\n")
file(WRITE "${root}/share/cmake/Torch/TorchConfig.cmake" "message(FATAL_ERROR \"no CUDA toolkit\")\n")
file(WRITE "${WORK}/empty.cpp" "")
file(MAKE_DIRECTORY "${root}/lib")
foreach(name IN ITEMS c10 torch_cpu torch c10_cuda torch_cuda)
  run("${COMPILER}" -shared -fPIC "-Wl,-soname,lib${name}.so" "${WORK}/empty.cpp" -o "${root}/lib/lib${name}.so")
endforeach()

if(CASE STREQUAL "prefix")
  set(given "-DCMAKE_PREFIX_PATH=${site}")
elseif(CASE STREQUAL "missing")
  set(given "-DTorch_DIR=${WORK}")
else()
  set(given "-DTorch_DIR=${root}/share/cmake/Torch")
endif()

execute_process(
  COMMAND "${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_LIST_DIR}/torch" -B "${WORK}/build" -G "${GENERATOR}"
          "-DCMAKE_MAKE_PROGRAM=${MAKE_PROGRAM}" "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DATHANOR=${SOURCE}" ${given}
  RESULT_VARIABLE failed
  OUTPUT_VARIABLE output
  ERROR_VARIABLE output)

set(expected "LibTorch 2\\.11\\.0 with CUDA: ${root} ")
if(CASE STREQUAL "old")
  set(expected "LibTorch 2\\.10\\.0 in ${root} is too old: Athanor needs 2\\.11 or newer\\.\n")
elseif(CASE STREQUAL "missing")
  set(expected "Torch_DIR=${WORK} holds no LibTorch [^\n]*\n")
endif()
if(NOT output MATCHES "${expected}")
  message(FATAL_ERROR "expected '${expected}' in:\n${output}")
endif()
if(CASE MATCHES "old|missing")
  if(NOT failed)
    message(FATAL_ERROR "configuring should have failed")
  endif()
  return()
elseif(failed)
  message(FATAL_ERROR "${output}")
endif()

run("${CMAKE_COMMAND}" --build "${WORK}/build")
run("${WORK}/build/program")
file(STRINGS "${WORK}/build/program" needed REGEX "libtorch_cuda\\.so|libc10_cuda\\.so")
list(LENGTH needed count)
if(count LESS 2)
  message(FATAL_ERROR "the CUDA libraries are not needed by the program: ${needed}")
endif()
