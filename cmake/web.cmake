# The page's bytes become the library td_web, which serve/ hands out (src/serve/web.h).
add_library(td_web STATIC ${CMAKE_SOURCE_DIR}/web/fallback.c)
target_include_directories(td_web PUBLIC ${CMAKE_SOURCE_DIR}/src)
if(TARGET td_serve)
  target_link_libraries(td_serve PUBLIC td_web)
endif()
