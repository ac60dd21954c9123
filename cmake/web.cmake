# The page's bytes become the library td_web, which serve/ hands out (src/serve/web.h).
#
# TANDEM_WEB: ON   build the page; without Node.js >= 18 and npm the configuration fails
#             OFF  never; `/` says so (web/fallback.c), the API stays
#             AUTO as ON where node and npm are, else as OFF (the default)
# npm and Vite run once for all build directories: web/build.mjs keeps its result in build/web.
set(TANDEM_WEB AUTO CACHE STRING "build the page into the hub: AUTO, ON or OFF")
set_property(CACHE TANDEM_WEB PROPERTY STRINGS AUTO ON OFF)

set(web_dir ${CMAKE_SOURCE_DIR}/web)
set(web_source ${web_dir}/fallback.c)
if(NOT TANDEM_WEB STREQUAL "OFF")
  find_program(TANDEM_NODE NAMES node nodejs)
  find_program(TANDEM_NPM npm)
  set(web_lack "")
  if(NOT TANDEM_NODE OR NOT TANDEM_NPM)
    set(web_lack "node and npm are not both installed")
  else()
    execute_process(COMMAND ${TANDEM_NODE} --version OUTPUT_VARIABLE node_version
      OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    string(REGEX REPLACE "^v" "" node_version "${node_version}")
    if(NOT node_version VERSION_GREATER_EQUAL 18)
      set(web_lack "node ${node_version} is older than 18")
    endif()
  endif()
  if(NOT web_lack)
    set(web_source ${CMAKE_BINARY_DIR}/web_files.c)
    file(GLOB_RECURSE web_inputs CONFIGURE_DEPENDS ${web_dir}/src/*)
    foreach(name package.json package-lock.json tsconfig.json vite.config.ts index.html build.mjs)
      list(APPEND web_inputs ${web_dir}/${name})
    endforeach()
    set(web_fallback "")
    if(TANDEM_WEB STREQUAL "AUTO")
      set(web_fallback --fallback ${web_dir}/fallback.c)
    endif()
    add_custom_command(OUTPUT ${web_source}
      COMMAND ${TANDEM_NODE} ${web_dir}/build.mjs --out ${web_source}
              --cache ${CMAKE_SOURCE_DIR}/build/web ${web_fallback}
      DEPENDS ${web_inputs} ${web_dir}/fallback.c
      COMMENT "Building the page" VERBATIM)
  elseif(TANDEM_WEB STREQUAL "ON")
    message(FATAL_ERROR "TANDEM_WEB=ON: ${web_lack}. Run scripts/setup, or use -DTANDEM_WEB=OFF.")
  else()
    message(STATUS "The hub is built without its page: ${web_lack}. scripts/setup installs it.")
  endif()
endif()

# The decoder, the formats and the columns behind the charts. Once is enough: not in every build.
if(NOT web_source STREQUAL "${web_dir}/fallback.c" AND
   NOT (TANDEM_SANITIZE OR TANDEM_HARDEN OR TANDEM_FUZZ OR TANDEM_COVER))
  add_test(NAME unit_page COMMAND ${TANDEM_NODE} ${web_dir}/test/run.mjs)
  set_tests_properties(unit_page PROPERTIES TIMEOUT 60 SKIP_RETURN_CODE 77)
endif()

add_library(td_web STATIC ${web_source})
target_include_directories(td_web PUBLIC ${CMAKE_SOURCE_DIR}/src)
if(TARGET td_serve)
  target_link_libraries(td_serve PUBLIC td_web)
endif()
