# The sample town's rules stand in the binary, so that `tandem serve --demo` needs no file.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/examples/town.td)
file(READ ${CMAKE_SOURCE_DIR}/examples/town.td town HEX)
string(REGEX REPLACE "(..)" "0x\\1," town "${town}")
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/town.c CONTENT
"/* Made by the build from examples/town.td. */
#include \"app/demo.h\"
static const uint8_t bytes[] = {@town@};
const td_slice td_app_town = {bytes, sizeof bytes};
" @ONLY)
target_sources(td_app PRIVATE ${CMAKE_BINARY_DIR}/town.c)
