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
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC looks for garbage whenever its memory has doubled, finds a tenth, and spends a tenth of its time on it.
    target_compile_options(${target} PRIVATE --param=ggc-min-heapsize=8388608)
    if(CMAKE_CXX_COMPILER_LAUNCHER)
      target_compile_options(${target} PRIVATE -fpch-preprocess)
    endif()
  endif()
  # LibTorch's own copy of fmt, without its library.
  target_compile_definitions(${target} PRIVATE FMT_HEADER_ONLY=1)
  # LibTorch's headers give at::RecordFunction a member more without it, which the class has not in LibTorch's library.
  target_compile_definitions(${target} PRIVATE NDEBUG)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  if(ATHANOR_MOLD)
    target_link_options(${target} PRIVATE -fuse-ld=mold)
  endif()
endfunction()

# athanor_tier(<name> PIECE <size> HEADERS <header>...): an object library with a precompiled header of its own, compiled so
# many sources at once: much of the time of a source goes into templates that LibTorch's headers leave to be instantiated.
function(athanor_tier tier)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "PIECE" "HEADERS")
  add_library(${tier} OBJECT)
  athanor_compile_options(${tier})
  target_include_directories(${tier} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${tier} PRIVATE athanor::torch ${ATHANOR_PRIVATE_LIBRARIES})
  target_precompile_headers(${tier} PRIVATE ${arg_HEADERS})
  set(size ${arg_PIECE})
  if(DEFINED CMAKE_UNITY_BUILD_BATCH_SIZE)
    set(size ${CMAKE_UNITY_BUILD_BATCH_SIZE})
  endif()
  set_target_properties(${tier} PROPERTIES UNITY_BUILD ${ATHANOR_UNITY} UNITY_BUILD_BATCH_SIZE ${size})
endfunction()

# athanor_pieces(<target> <size> <header>...): compiles the sources of a target so many at once, each after these headers, or
# one by one with the headers precompiled. To precompile them costs as much as to include them in three sources.
function(athanor_pieces target size)
  if(ATHANOR_UNITY)
    list(TRANSFORM ARGN REPLACE "(.+)" "#include \\1\n" OUTPUT_VARIABLE includes)
    list(JOIN includes "" includes)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${size}
                                               UNITY_BUILD_CODE_BEFORE_INCLUDE "${includes}")
  else()
    target_precompile_headers(${target} PRIVATE ${ARGN})
  endif()
endfunction()

# athanor_includes(<file> <kind> <result>): whether a file includes something of this kind, directly or through headers of
# ours. A `fat` source includes LibTorch as a whole and is compiled with the fat precompiled header; for the others the
# thin one is several times faster.
set(athanor_headers_fat "^torch/|^ATen/ATen\\.h$")
set(athanor_headers_json "^nlohmann/")
function(athanor_includes file kind result)
  get_property(found GLOBAL PROPERTY "athanor_includes ${kind} ${file}")
  if(NOT "${found}" STREQUAL "")
    set(${result} ${found} PARENT_SCOPE)
    return()
  endif()
  set(found OFF)
  set_property(GLOBAL PROPERTY "athanor_includes ${kind} ${file}" OFF)
  get_filename_component(folder "${file}" DIRECTORY)
  file(STRINGS "${file}" lines REGEX "^#include [<\"]")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^#include [<\"]([^>\"]*).*" "\\1" header "${line}")
    if(header MATCHES "${athanor_headers_${kind}}")
      set(found ON)
    elseif(EXISTS "${PROJECT_SOURCE_DIR}/${header}")
      athanor_includes("${PROJECT_SOURCE_DIR}/${header}" ${kind} found)
    elseif(line MATCHES "\"" AND EXISTS "${folder}/${header}")
      athanor_includes("${folder}/${header}" ${kind} found)
    endif()
    if(found)
      set_property(GLOBAL PROPERTY "athanor_includes ${kind} ${file}" ON)
      break()
    endif()
  endforeach()
  set(${result} ${found} PARENT_SCOPE)
endfunction()

# athanor_split(<kind> <without> <with> <source>...): splits the sources by whether they include something of this kind.
function(athanor_split kind without_result with_result)
  set(without "")
  set(with "")
  foreach(source IN LISTS ARGN)
    athanor_includes("${source}" ${kind} is_with)
    if(is_with)
      list(APPEND with "${source}")
    else()
      list(APPEND without "${source}")
    endif()
  endforeach()
  set(${without_result} "${without}" PARENT_SCOPE)
  set(${with_result} "${with}" PARENT_SCOPE)
endfunction()

# athanor_rooms(<name>...): the sources of athanor/<name>/. Those with JSON stand together, because its templates would be
# instantiated in every piece that has one.
function(athanor_rooms)
  set(all "")
  foreach(room IN LISTS ARGN)
    file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/athanor/${room}/*.cpp")
    list(APPEND all ${sources})
  endforeach()
  list(REMOVE_ITEM all ${ATHANOR_PLAIN_SOURCES})
  athanor_split(fat thin fat ${all})
  athanor_split(json without_json with_json ${thin})
  target_sources(athanor_thin PRIVATE ${without_json} ${with_json})
  target_sources(athanor_fat PRIVATE ${fat})
endfunction()

# athanor_program(<name> <source>...): a program of ours. All sources have the tier of the first.
function(athanor_program program)
  add_executable(${program} ${ARGN})
  athanor_compile_options(${program})
  target_link_libraries(${program} PRIVATE athanor::athanor)
  athanor_includes("${ARGV1}" fat is_fat)
  if(is_fat)
    target_precompile_headers(${program} REUSE_FROM athanor_fat)
  else()
    target_precompile_headers(${program} REUSE_FROM athanor_thin)
  endif()
endfunction()
