# What is installed, and Debian packages of it: cmake --preset release && ninja -C build/release && cpack --config build/release/CPackConfig.cmake
install(TARGETS dray COMPONENT dray)
install(TARGETS dray-work DESTINATION libexec/dray COMPONENT dray)
install(TARGETS drayd COMPONENT drayd)
install(TARGETS dray-bench COMPONENT dray-bench)
install(FILES ${CMAKE_SOURCE_DIR}/deploy/drayd.service DESTINATION lib/systemd/system COMPONENT drayd)
install(FILES ${CMAKE_SOURCE_DIR}/deploy/drayd.conf DESTINATION /etc/drayd COMPONENT drayd)
install(FILES ${CMAKE_SOURCE_DIR}/docs/operations.md ${CMAKE_SOURCE_DIR}/docs/protocol.md ${CMAKE_SOURCE_DIR}/deploy/alerts.yaml
  DESTINATION share/doc/drayd COMPONENT drayd)

set(CPACK_PACKAGE_CONTACT "Seed 9688434c maintainers <maintainers@users.noreply.b-seed-9688434c.example>")
# What Debian wants beside the programs of each package.
find_program(GZIP gzip REQUIRED)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/doc)
foreach(c dray drayd dray-bench)
  configure_file(${CMAKE_SOURCE_DIR}/deploy/debian/changelog.in ${CMAKE_BINARY_DIR}/doc/${c}.changelog @ONLY)
  execute_process(COMMAND ${GZIP} -9nc ${CMAKE_SOURCE_DIR}/deploy/man/${c}.1 OUTPUT_FILE ${CMAKE_BINARY_DIR}/doc/${c}.1.gz)
  execute_process(COMMAND ${GZIP} -9nc ${CMAKE_BINARY_DIR}/doc/${c}.changelog OUTPUT_FILE ${CMAKE_BINARY_DIR}/doc/${c}.changelog.gz)
  install(FILES ${CMAKE_BINARY_DIR}/doc/${c}.1.gz DESTINATION share/man/man1 COMPONENT ${c})
  install(FILES ${CMAKE_BINARY_DIR}/doc/${c}.changelog.gz DESTINATION share/doc/${c} RENAME changelog.gz COMPONENT ${c})
  install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION share/doc/${c} RENAME copyright COMPONENT ${c})
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME dray)
set(CPACK_PACKAGE_VENDOR "dray")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL dray drayd dray-bench)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION devel)
foreach(c DRAY DRAYD DRAY-BENCH)
  string(TOLOWER ${c} lower)
  set(CPACK_DEBIAN_${c}_PACKAGE_NAME ${lower})
endforeach()
# What is loaded at run time is not found by itself.
set(CPACK_DEBIAN_DRAY_PACKAGE_DEPENDS "libcurl4, libssl3, ca-certificates")
set(CPACK_DEBIAN_DRAYD_PACKAGE_DEPENDS "libcurl4, ca-certificates, adduser, init-system-helpers (>= 1.54~)")
set(CPACK_DEBIAN_DRAY-BENCH_PACKAGE_DEPENDS "libcurl4, dray, drayd")
# The first line is the synopsis.
set(CPACK_COMPONENT_DRAY_DESCRIPTION "install npm dependencies: pnpm's lockfile, pnpm's node_modules
Reads package.json, pnpm-workspace.yaml and pnpm-lock.yaml, and makes the
lockfile and the tree that pnpm makes of them; with a drayd from its plans and
packs, else from the registry.")
set(CPACK_COMPONENT_DRAYD_DESCRIPTION "resolve npm dependencies next to the registry, for a team
Answers the plan requests of dray, keeps packages ready for it, and is a
caching registry for npm, pnpm, yarn and bun.")
set(CPACK_COMPONENT_DRAY-BENCH_DESCRIPTION "measure what a drayd buys an install
Measures installs of projects against a recorded registry over an emulated
link, with and without a drayd.")
set(CPACK_DEBIAN_DRAYD_PACKAGE_CONTROL_EXTRA
  "${CMAKE_SOURCE_DIR}/deploy/debian/conffiles;${CMAKE_SOURCE_DIR}/deploy/debian/postinst;${CMAKE_SOURCE_DIR}/deploy/debian/prerm;${CMAKE_SOURCE_DIR}/deploy/debian/postrm")
include(CPack)
