# SPDX-License-Identifier: Apache-2.0
#
# athanor_compile_fails(<name> <source> "<regex of the message>" [THIN]): a test that the compiler refuses the source and
# says so in these words. The source is compiled as the sources of the fat (or thin) tier are.
function(athanor_compile_fails name source message)
  cmake_parse_arguments(PARSE_ARGV 3 arg "THIN" "" "")
  set(tier athanor_fat)
  if(arg_THIN)
    set(tier athanor_thin)
  endif()
  get_filename_component(source "${source}" ABSOLUTE)
  string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
  separate_arguments(flags UNIX_COMMAND "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${build_type}}")
  list(APPEND flags -std=c++20 -fPIC -Wall -Wextra -DFMT_HEADER_ONLY=1 -D_GLIBCXX_USE_CXX11_ABI=1
       -I${PROJECT_SOURCE_DIR})
  foreach(directory IN LISTS ATHANOR_TORCH_INCLUDE_DIRS)
    list(APPEND flags -isystem "${directory}")
  endforeach()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(APPEND flags -include "${PROJECT_BINARY_DIR}/CMakeFiles/${tier}.dir/cmake_pch.hxx")
  endif()
  list(JOIN flags "|" flags)
  add_test(NAME compile_fail.${name}
           COMMAND "${CMAKE_COMMAND}" "-DCOMPILER=${CMAKE_CXX_COMPILER}" "-DFLAGS=${flags}" "-DSOURCE=${source}"
                   "-DMESSAGE=${message}" -P "${PROJECT_SOURCE_DIR}/cmake/CompileFails.cmake")
  set_tests_properties(compile_fail.${name} PROPERTIES TIMEOUT 120)
endfunction()
