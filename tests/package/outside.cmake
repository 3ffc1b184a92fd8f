# SPDX-License-Identifier: Apache-2.0
#
# Builds and runs the project in outside/, in WORK: with BUILD given, against Athanor installed from that build folder;
# otherwise with Athanor as a subdirectory, as a static library, by CLANG where it is given, in three pieces and without
# optimisation, which is compiled sooner.

include("${CMAKE_CURRENT_LIST_DIR}/run.cmake")
string(REPLACE "|" ";" launcher "${LAUNCHER}")

if(BUILD)
  file(REMOVE_RECURSE "${WORK}")
  run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${WORK}/prefix")
  set(options "-DCMAKE_PREFIX_PATH=${WORK}/prefix" "-DCMAKE_CXX_FLAGS=-Werror")
else()
  set(options "-DATHANOR_FROM=${SOURCE}" "-DTorch_DIR=${TORCH}" -DBUILD_SHARED_LIBS=OFF
              -DCMAKE_UNITY_BUILD_BATCH_SIZE=160 -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON)
  if(CLANG)
    set(COMPILER "${CLANG}")
  endif()
endif()

execute_process(
  COMMAND
    "${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_LIST_DIR}/outside" -B "${WORK}/build" -G "${GENERATOR}"
    "-DCMAKE_MAKE_PROGRAM=${MAKE_PROGRAM}" "-DCMAKE_CXX_COMPILER=${COMPILER}"
    "-DCMAKE_CXX_COMPILER_LAUNCHER=${launcher}" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0 ${options}
  RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "the outside project cannot be configured")
endif()
run("${CMAKE_COMMAND}" --build "${WORK}/build" --parallel 2)
run("${WORK}/build/outside")
