# SPDX-License-Identifier: Apache-2.0
#
# Finds LibTorch and defines the imported target athanor::torch.
#
# Only headers and libraries are needed, so a CUDA build of LibTorch serves on a machine without a CUDA toolkit, where
# LibTorch's own TorchConfig.cmake gives up.
#
# athanor_find_torch([HINT <folder>] [INSTALL_INTO <virtual environment>]) looks, in this order, at
#   1. Torch_DIR, then the entries of CMAKE_PREFIX_PATH (variables of CMake or of the environment); each may be the
#      folder of the package (site-packages/torch), the root of a LibTorch archive, or its share/cmake/Torch;
#   2. HINT, the LibTorch that an installed Athanor was built with;
#   3. the active Python: the virtual environment's, else the first python3 of PATH;
#   4. INSTALL_INTO, where ATHANOR_TORCH_VERSION is installed with pip when it is missing.
# It sets ATHANOR_TORCH_ROOT, ATHANOR_TORCH_FOUND_VERSION, ATHANOR_TORCH_INCLUDE_DIRS and ATHANOR_TORCH_HAS_CUDA.

set(ATHANOR_TORCH_MINIMUM 2.11)

# Stops with one line: the leading space keeps CMake from folding it.
function(athanor_torch_fail text)
  message(FATAL_ERROR " ${text}")
endfunction()

# The root of the LibTorch that `candidate` lies in or points to, or an empty string.
function(athanor_torch_root candidate result)
  set(${result} "" PARENT_SCOPE)
  if(NOT candidate)
    return()
  endif()
  foreach(step IN ITEMS "." "torch" ".." "../.." "../../..")
    get_filename_component(root "${candidate}/${step}" ABSOLUTE)
    if(EXISTS "${root}/include/torch/csrc/api/include/torch/torch.h" AND EXISTS "${root}/lib/libtorch.so")
      set(${result} "${root}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

# The torch package of a Python, found without importing it.
function(athanor_torch_of_python python result)
  execute_process(
    COMMAND "${python}" -c
            "import importlib.util as u, os; s = u.find_spec('torch'); print(os.path.dirname(s.origin) if s and s.origin else '')"
    OUTPUT_VARIABLE package OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  athanor_torch_root("${package}" root)
  set(${result} "${root}" PARENT_SCOPE)
endfunction()

function(athanor_torch_active_python result)
  find_program(active_python NAMES python3 python HINTS "$ENV{VIRTUAL_ENV}/bin" NO_CACHE)
  set(${result} "${active_python}" PARENT_SCOPE)
endfunction()

# The version that the headers state.
function(athanor_torch_version root result)
  set(version "")
  foreach(header IN ITEMS torch/headeronly/version.h torch/csrc/api/include/torch/version.h torch/version.h)
    if(EXISTS "${root}/include/${header}")
      set(parts "")
      foreach(part IN ITEMS MAJOR MINOR PATCH)
        file(STRINGS "${root}/include/${header}" line REGEX "^#define TORCH_VERSION_${part} +[0-9]+" LIMIT_COUNT 1)
        if(line MATCHES "([0-9]+)$")
          list(APPEND parts "${CMAKE_MATCH_1}")
        endif()
      endforeach()
      list(LENGTH parts count)
      if(count EQUAL 3)
        list(JOIN parts "." version)
        break()
      endif()
    endif()
  endforeach()
  set(${result} "${version}" PARENT_SCOPE)
endfunction()

function(athanor_torch_pip_install environment version)
  athanor_torch_active_python(python)
  if(NOT python)
    athanor_torch_fail("LibTorch was not found and there is no python3 to install it with; give -DTorch_DIR=<LibTorch>.")
  endif()
  if(NOT EXISTS "${environment}/bin/python")
    message(STATUS "Making the virtual environment ${environment}")
    execute_process(COMMAND "${python}" -m venv "${environment}" RESULT_VARIABLE failed)
    if(failed)
      athanor_torch_fail("${python} -m venv failed; install its venv module (Debian: python3-venv) or give -DTorch_DIR=<LibTorch>.")
    endif()
  endif()
  message(STATUS "Installing torch==${version} with pip into ${environment}")
  execute_process(
    COMMAND "${environment}/bin/python" -m pip install --disable-pip-version-check --quiet "torch==${version}"
    RESULT_VARIABLE failed)
  if(failed)
    athanor_torch_fail("pip could not install torch==${version}; give -DTorch_DIR=<LibTorch> instead.")
  endif()
endfunction()

function(athanor_torch_define_target root)
  set(libraries "")
  foreach(name IN ITEMS c10 torch_cpu torch)
    if(NOT EXISTS "${root}/lib/lib${name}.so")
      athanor_torch_fail("LibTorch in ${root} is not complete: lib/lib${name}.so is missing.")
    endif()
    add_library(athanor::${name}_library SHARED IMPORTED GLOBAL)
    set_target_properties(athanor::${name}_library PROPERTIES IMPORTED_LOCATION "${root}/lib/lib${name}.so")
    list(APPEND libraries athanor::${name}_library)
  endforeach()

  # Nothing refers to these by name: they register the CUDA kernels when they are loaded, so the linker must keep them.
  set(has_cuda OFF)
  foreach(name IN ITEMS c10_cuda torch_cuda)
    if(EXISTS "${root}/lib/lib${name}.so")
      set(has_cuda ON)
      list(APPEND libraries "-Wl,--push-state,--no-as-needed,${root}/lib/lib${name}.so,--pop-state")
    endif()
  endforeach()

  add_library(athanor::torch INTERFACE IMPORTED GLOBAL)
  set_target_properties(
    athanor::torch
    PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${ATHANOR_TORCH_INCLUDE_DIRS}"
               INTERFACE_COMPILE_DEFINITIONS "_GLIBCXX_USE_CXX11_ABI=1"
               INTERFACE_COMPILE_FEATURES "cxx_std_20"
               INTERFACE_LINK_LIBRARIES "${libraries}"
               INTERFACE_LINK_OPTIONS "-Wl,--allow-shlib-undefined")
  set(ATHANOR_TORCH_HAS_CUDA ${has_cuda} PARENT_SCOPE)
endfunction()

function(athanor_find_torch)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "HINT;INSTALL_INTO" "")
  if(TARGET athanor::torch)
    return()
  endif()

  set(root "")
  set(given "${Torch_DIR}")
  if(NOT given)
    set(given "$ENV{Torch_DIR}")
  endif()
  if(given)
    athanor_torch_root("${given}" root)
    if(NOT root)
      athanor_torch_fail("Torch_DIR=${given} holds no LibTorch (include/torch and lib/libtorch.so).")
    endif()
    set(origin "Torch_DIR")
  endif()

  if(NOT root)
    set(prefixes "$ENV{CMAKE_PREFIX_PATH}")
    string(REPLACE ":" ";" prefixes "${prefixes}")
    foreach(prefix IN LISTS CMAKE_PREFIX_PATH prefixes)
      athanor_torch_root("${prefix}" root)
      if(root)
        set(origin "CMAKE_PREFIX_PATH")
        break()
      endif()
    endforeach()
  endif()

  if(NOT root AND arg_HINT)
    athanor_torch_root("${arg_HINT}" root)
    set(origin "the LibTorch that Athanor was built with")
  endif()

  if(NOT root)
    athanor_torch_active_python(python)
    if(python)
      athanor_torch_of_python("${python}" root)
      set(origin "the active Python, ${python}")
    endif()
  endif()

  if(NOT root AND arg_INSTALL_INTO)
    set(python "${arg_INSTALL_INTO}/bin/python")
    set(origin "the virtual environment ${arg_INSTALL_INTO}")
    if(EXISTS "${python}")
      athanor_torch_of_python("${python}" root)
    endif()
    if(NOT root)
      athanor_torch_pip_install("${arg_INSTALL_INTO}" "${ATHANOR_TORCH_VERSION}")
      athanor_torch_of_python("${python}" root)
    endif()
  endif()

  if(NOT root)
    athanor_torch_fail("LibTorch was not found; give -DTorch_DIR=<LibTorch, or site-packages/torch of a Python>.")
  endif()

  athanor_torch_version("${root}" version)
  if(NOT version)
    athanor_torch_fail("The headers of LibTorch in ${root} state no version.")
  elseif(version VERSION_LESS ATHANOR_TORCH_MINIMUM)
    athanor_torch_fail("LibTorch ${version} in ${root} is too old: Athanor needs ${ATHANOR_TORCH_MINIMUM} or newer.")
  endif()
  file(STRINGS "${root}/lib/libc10.so" old_strings REGEX "^_ZN3c105ErrorC[12]E(NS_14SourceLocationE)?Ss" LIMIT_COUNT 1)
  if(old_strings)
    athanor_torch_fail("LibTorch in ${root} is built with the old string ABI of libstdc++: take a build with the new one.")
  endif()

  set(ATHANOR_TORCH_INCLUDE_DIRS "${root}/include" "${root}/include/torch/csrc/api/include")
  athanor_torch_define_target("${root}")
  set(cuda "")
  if(ATHANOR_TORCH_HAS_CUDA)
    set(cuda " with CUDA")
  endif()
  message(STATUS "LibTorch ${version}${cuda}: ${root} (from ${origin})")

  set(ATHANOR_TORCH_ROOT "${root}" PARENT_SCOPE)
  set(ATHANOR_TORCH_FOUND_VERSION "${version}" PARENT_SCOPE)
  set(ATHANOR_TORCH_INCLUDE_DIRS "${ATHANOR_TORCH_INCLUDE_DIRS}" PARENT_SCOPE)
  set(ATHANOR_TORCH_HAS_CUDA "${ATHANOR_TORCH_HAS_CUDA}" PARENT_SCOPE)
endfunction()
