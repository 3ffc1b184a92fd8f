# SPDX-License-Identifier: Apache-2.0

# Runs a command of a test and stops when it fails.
function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "failed: ${ARGV}")
  endif()
endfunction()
