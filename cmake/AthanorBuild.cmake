# SPDX-License-Identifier: Apache-2.0
#
# How the targets of this project are compiled. Nothing here reaches a project that uses Athanor.

# A launcher given by the user is kept. ccache understands precompiled headers only with this sloppiness.
if(ATHANOR_USE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(ATHANOR_CCACHE ccache)
  if(ATHANOR_CCACHE)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env CCACHE_SLOPPINESS=pch_defines,time_macros "${ATHANOR_CCACHE}")
  endif()
endif()

if(ATHANOR_USE_MOLD)
  find_program(ATHANOR_MOLD mold)
endif()

# Compiler options of every target of ours. The same everywhere, because a precompiled header is only valid for sources
# that are compiled as it was; -fPIC is therefore given to programs too.
function(athanor_compile_options target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_compile_options(${target} PRIVATE -fPIC -Wall -Wextra)
  if(ATHANOR_WERROR)
    target_compile_options(${target} PRIVATE -Wpedantic -Werror)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_LAUNCHER)
    target_compile_options(${target} PRIVATE -fpch-preprocess)
  endif()
  # LibTorch's own copy of fmt, without its library.
  target_compile_definitions(${target} PRIVATE FMT_HEADER_ONLY=1)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  if(ATHANOR_MOLD)
    target_link_options(${target} PRIVATE -fuse-ld=mold)
  endif()
endfunction()

# athanor_tier(<name> HEADERS <header>...): an object library with a precompiled header of its own.
function(athanor_tier tier)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "HEADERS")
  add_library(${tier} OBJECT)
  athanor_compile_options(${tier})
  target_include_directories(${tier} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${tier} PRIVATE athanor::torch ${ATHANOR_PRIVATE_LIBRARIES})
  target_precompile_headers(${tier} PRIVATE ${arg_HEADERS})
  # Most of the time of a source goes into the templates that LibTorch's headers leave to be instantiated in each.
  set_target_properties(${tier} PROPERTIES UNITY_BUILD ${ATHANOR_UNITY} UNITY_BUILD_BATCH_SIZE 8)
endfunction()

# Whether a file includes something of torch/, directly or through headers of ours. Such a source is compiled with the
# fat precompiled header; for the others the thin one is several times faster.
function(athanor_is_fat file result)
  get_property(fat GLOBAL PROPERTY "athanor_is_fat ${file}")
  if(NOT "${fat}" STREQUAL "")
    set(${result} ${fat} PARENT_SCOPE)
    return()
  endif()
  set(fat OFF)
  set_property(GLOBAL PROPERTY "athanor_is_fat ${file}" OFF)
  get_filename_component(folder "${file}" DIRECTORY)
  file(STRINGS "${file}" lines REGEX "^#include [<\"]")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^#include [<\"]([^>\"]*).*" "\\1" header "${line}")
    if(header MATCHES "^torch/|^ATen/ATen\\.h$")
      set(fat ON)
    elseif(EXISTS "${PROJECT_SOURCE_DIR}/${header}")
      athanor_is_fat("${PROJECT_SOURCE_DIR}/${header}" fat)
    elseif(line MATCHES "\"" AND EXISTS "${folder}/${header}")
      athanor_is_fat("${folder}/${header}" fat)
    endif()
    if(fat)
      set_property(GLOBAL PROPERTY "athanor_is_fat ${file}" ON)
      break()
    endif()
  endforeach()
  set(${result} ${fat} PARENT_SCOPE)
endfunction()

# athanor_sort_by_tier(<thin> <fat> <source>...): splits the sources into two lists.
function(athanor_sort_by_tier thin_result fat_result)
  set(thin "")
  set(fat "")
  foreach(source IN LISTS ARGN)
    athanor_is_fat("${source}" is_fat)
    if(is_fat)
      list(APPEND fat "${source}")
    else()
      list(APPEND thin "${source}")
    endif()
  endforeach()
  set(${thin_result} "${thin}" PARENT_SCOPE)
  set(${fat_result} "${fat}" PARENT_SCOPE)
endfunction()

# athanor_room(<name>): the sources of athanor/<name>/.
function(athanor_room room)
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/athanor/${room}/*.cpp")
  athanor_sort_by_tier(thin fat ${sources})
  target_sources(athanor_thin PRIVATE ${thin})
  target_sources(athanor_fat PRIVATE ${fat})
endfunction()

# athanor_program(<name> <source>...): a program of ours. All sources have the tier of the first.
function(athanor_program program)
  add_executable(${program} ${ARGN})
  athanor_compile_options(${program})
  target_link_libraries(${program} PRIVATE athanor::athanor)
  athanor_is_fat("${ARGV1}" is_fat)
  if(is_fat)
    target_precompile_headers(${program} REUSE_FROM athanor_fat)
  else()
    target_precompile_headers(${program} REUSE_FROM athanor_thin)
  endif()
endfunction()
