# SPDX-License-Identifier: Apache-2.0
#
# Run by ctest for athanor_compile_fails: COMPILER with FLAGS (separated by |) must refuse SOURCE with MESSAGE.
string(REPLACE "|" ";" flags "${FLAGS}")
set(ENV{LC_ALL} C)
execute_process(
  COMMAND "${COMPILER}" ${flags} -fsyntax-only "${SOURCE}"
  RESULT_VARIABLE result
  OUTPUT_VARIABLE output
  ERROR_VARIABLE output)
if(result EQUAL 0)
  message(FATAL_ERROR "The compiler accepted ${SOURCE}")
endif()
if(NOT output MATCHES "${MESSAGE}")
  message(FATAL_ERROR "The compiler refused ${SOURCE}, but not with '${MESSAGE}':\n${output}")
endif()
