# SPDX-License-Identifier: Apache-2.0
#
# Install rules: headers, library, and what find_package(athanor) needs.

include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/athanor")

install(
  TARGETS athanor
  EXPORT athanorTargets
  RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}"
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(
  DIRECTORY "${PROJECT_SOURCE_DIR}/athanor"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILES_MATCHING
  PATTERN "*.hpp")
install(EXPORT athanorTargets NAMESPACE athanor:: DESTINATION "${package_dir}")

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/athanorConfig.cmake.in"
                              "${PROJECT_BINARY_DIR}/athanorConfig.cmake" INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/athanorConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/athanorConfig.cmake" "${PROJECT_BINARY_DIR}/athanorConfigVersion.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/AthanorTorch.cmake" DESTINATION "${package_dir}")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/athanor")
