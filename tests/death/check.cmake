# SPDX-License-Identifier: MIT
# Runs a misuse and compares what it writes to standard error with its source's closing comment, exactly but for
# addresses and this folder; 'Nothing' means not a word.
#   cmake -DSOURCE=double_free.c -DPROGRAM=/path/of/double_free -P check.cmake

get_filename_component(folder "${SOURCE}" DIRECTORY)
file(READ "${SOURCE}" text)
if(NOT text MATCHES "\n/\\* (Nothing|Report)(, exit ([0-9]+))?:?\n?(.*)\\*/\n$")
    message(FATAL_ERROR "${SOURCE}: no closing comment that starts with 'Report:' or 'Report, exit N:' or is 'Nothing'")
endif()
set(expected_result "${CMAKE_MATCH_3}")
if(expected_result STREQUAL "")
    set(expected_result 0)
endif()
set(expected "${CMAKE_MATCH_4}")
string(REGEX REPLACE "(^|\n) \\*( ?)" "\\1" expected "${expected}")
string(STRIP "${expected}" expected)

execute_process(COMMAND "${PROGRAM}" RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE errors)
string(REPLACE "${folder}/" "" actual "${errors}")
string(REPLACE "${PROGRAM}" "PROGRAM" actual "${actual}")
string(REGEX REPLACE "0x[0-9a-f]+" "0xADDRESS" actual "${actual}")
string(STRIP "${actual}" actual)
if(NOT result EQUAL expected_result OR NOT actual STREQUAL expected)
    message(FATAL_ERROR "${SOURCE} ended with ${result}.\nExpected:\n${expected}\nActual:\n${actual}")
endif()
