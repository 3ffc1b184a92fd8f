# SPDX-License-Identifier: Apache-2.0
#
# What the live page needs: cpp-httplib, and the page's files as a source.
#
# athanor_find_httplib() sets ATHANOR_HTTPLIB_LIBRARIES and ATHANOR_HTTPLIB_DEFINITIONS. Debian's package is a library that
# is built with OpenSSL, zlib and Brotli, and its header must be told so; elsewhere it is a header alone.
#
# athanor_use_httplib(<source>...) compiles sources with it, each alone in its unit: the header costs more than the rest of
# the room.
#
# athanor_page_files(<target>) adds the source that holds the page to the target. uPlot, which draws the curves, comes from
# ATHANOR_UPLOT when that is given (a folder with dist/uPlot.iife.min.js), else from npm; without it the page shows numbers
# instead of curves, and the configuration says so.

set(ATHANOR_UPLOT_VERSION 1.6.32)
set(ATHANOR_UPLOT_SHA256 4b8a8191e425658e3ea8c8c1314b0fc679c861ee3a1af2b20c7b16ba50b5133d)
set(ATHANOR_UPLOT "" CACHE PATH "Folder of an unpacked uPlot package; fetched with npm when it is not given")

function(athanor_find_httplib)
  find_path(ATHANOR_HTTPLIB_INCLUDE httplib.h)
  find_library(ATHANOR_HTTPLIB_LIBRARY cpp-httplib)
  mark_as_advanced(ATHANOR_HTTPLIB_INCLUDE ATHANOR_HTTPLIB_LIBRARY)
  if(NOT ATHANOR_HTTPLIB_INCLUDE)
    message(FATAL_ERROR " cpp-httplib was not found; scripts/bootstrap.sh build installs it (Debian: libcpp-httplib-dev).")
  endif()
  set(libraries "")
  set(definitions "")
  if(ATHANOR_HTTPLIB_LIBRARY)
    set(libraries "${ATHANOR_HTTPLIB_LIBRARY}")
    set(definitions CPPHTTPLIB_OPENSSL_SUPPORT CPPHTTPLIB_ZLIB_SUPPORT CPPHTTPLIB_BROTLI_SUPPORT)
  endif()
  set(ATHANOR_HTTPLIB_LIBRARIES "${libraries}" PARENT_SCOPE)
  set(ATHANOR_HTTPLIB_DEFINITIONS "${definitions}" PARENT_SCOPE)
endfunction()

function(athanor_use_httplib)
  set_source_files_properties(${ARGV} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON SKIP_PRECOMPILE_HEADERS ON
                                                 COMPILE_DEFINITIONS "${ATHANOR_HTTPLIB_DEFINITIONS}")
  if(NOT ATHANOR_HTTPLIB_INCLUDE IN_LIST CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES)  # else it hides the compiler's own
    set_source_files_properties(${ARGV} PROPERTIES INCLUDE_DIRECTORIES "${ATHANOR_HTTPLIB_INCLUDE}")
  endif()
endfunction()

# The folder of uPlot's files, or an empty string.
function(athanor_find_uplot result)
  set(${result} "" PARENT_SCOPE)
  set(file dist/uPlot.iife.min.js)
  if(ATHANOR_UPLOT)
    if(NOT EXISTS "${ATHANOR_UPLOT}/${file}")
      message(FATAL_ERROR " ATHANOR_UPLOT=${ATHANOR_UPLOT} holds no ${file}.")
    endif()
    set(${result} "${ATHANOR_UPLOT}" PARENT_SCOPE)
    return()
  endif()
  get_filename_component(folder "${ATHANOR_PYTHON_ENV}" DIRECTORY)
  set(folder "${folder}/uplot-${ATHANOR_UPLOT_VERSION}")
  if(NOT EXISTS "${folder}/package/${file}")
    find_program(ATHANOR_NPM npm)
    mark_as_advanced(ATHANOR_NPM)
    set(archive "${folder}/uplot-${ATHANOR_UPLOT_VERSION}.tgz")
    set(reason "npm was not found; scripts/bootstrap.sh web installs it")
    if(ATHANOR_NPM)
      file(MAKE_DIRECTORY "${folder}")
      execute_process(COMMAND "${ATHANOR_NPM}" pack --silent "uplot@${ATHANOR_UPLOT_VERSION}" WORKING_DIRECTORY "${folder}"
                      OUTPUT_QUIET ERROR_QUIET TIMEOUT 60)
      set(reason "npm could not fetch it")
      if(EXISTS "${archive}")
        file(SHA256 "${archive}" hash)
        set(reason "the archive is not the one that was expected")
        if(hash STREQUAL ATHANOR_UPLOT_SHA256)
          file(ARCHIVE_EXTRACT INPUT "${archive}" DESTINATION "${folder}")
        endif()
      endif()
    endif()
    if(NOT EXISTS "${folder}/package/${file}")
      message(WARNING " The live page will show numbers instead of curves, because there is no uPlot: ${reason}. Then "
                      "configure again, or give -DATHANOR_UPLOT=<folder of the unpacked package>.")
      return()
    endif()
  endif()
  set(${result} "${folder}/package" PARENT_SCOPE)
endfunction()

function(athanor_page_files target)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  athanor_find_uplot(uplot)
  set(page "${PROJECT_SOURCE_DIR}/athanor/track/page")
  set(script "${PROJECT_SOURCE_DIR}/scripts/embed_files.py")
  set(source "${CMAKE_CURRENT_BINARY_DIR}/page_files.cpp")
  set(files "")
  foreach(name page.html page.css basics.js curves.js runs.js details.js page.js)
    list(APPEND files ${name} "${page}/${name}")
  endforeach()
  if(uplot)
    list(APPEND files uplot.js "${uplot}/dist/uPlot.iife.min.js" uplot.css "${uplot}/dist/uPlot.min.css")
  endif()
  set(arguments "")
  set(depends "")
  while(files)
    list(POP_FRONT files name path)
    list(APPEND arguments "${name}=${path}")
    list(APPEND depends "${path}")
  endwhile()
  add_custom_command(OUTPUT "${source}" COMMAND "${Python3_EXECUTABLE}" "${script}" "${source}" ${arguments}
                     DEPENDS "${script}" ${depends} VERBATIM)
  set_source_files_properties("${source}" PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON SKIP_PRECOMPILE_HEADERS ON)
  target_sources(${target} PRIVATE "${source}")
endfunction()
