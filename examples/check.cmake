# SPDX-License-Identifier: MIT
# Runs an example as its closing comment says ("$ program arguments"), in the folder of its source, and compares what it
# prints, standard output then standard error, with the rest of that comment. Addresses and that folder are masked, and a
# line "..." stands for any lines. Of a
# script, whose comment starts with "--", only standard output counts: what lua_host adds differs by machine.
#   cmake -DSOURCE=find_leak.c -DPROGRAM=/path/of/find_leak -P check.cmake

get_filename_component(folder "${SOURCE}" DIRECTORY)
file(READ "${SOURCE}" text)
if(NOT text MATCHES "\n(/\\*|--) \\$ ([^\n]*)(\n.*)$")
    message(FATAL_ERROR "${SOURCE}: no closing comment that starts with '$ '")
endif()
separate_arguments(command UNIX_COMMAND "${CMAKE_MATCH_2}")
set(expected "${CMAKE_MATCH_3}")
set(comment "${CMAKE_MATCH_1}")
string(REGEX REPLACE "\n \\*/\n$" "\n" expected "${expected}")
string(REGEX REPLACE "\n( \\*|--) ?" "\n" expected "${expected}")

list(POP_FRONT command)
set(ENV{HOSTMALLOC})
execute_process(COMMAND "${PROGRAM}" ${command} WORKING_DIRECTORY "${folder}"
    OUTPUT_VARIABLE output ERROR_VARIABLE errors RESULT_VARIABLE result)
set(actual "\n${output}")
if(NOT comment STREQUAL "--")
    string(APPEND actual "${errors}")
endif()
string(REPLACE "${folder}/" "" actual "${actual}")
string(REGEX REPLACE "0x[0-9a-f]+" "0xADDRESS" actual "${actual}")

string(FIND "${expected}" "\n...\n" any)
if(any GREATER -1)
    # What stands before the line, and what stands after it.
    string(LENGTH "${actual}" length)
    math(EXPR head "${any} + 1")
    math(EXPR rest "${any} + 4")
    string(SUBSTRING "${expected}" ${rest} -1 tail)
    string(SUBSTRING "${expected}" 0 ${head} expected_head)
    string(SUBSTRING "${actual}" 0 ${head} actual_head)
    string(FIND "${actual}" "${tail}" found REVERSE)
    string(LENGTH "${tail}" tail_length)
    math(EXPR end "${found} + ${tail_length}")
    if(actual_head STREQUAL expected_head AND found GREATER -1 AND end EQUAL length)
        set(actual "${expected}")
    endif()
endif()

if(NOT result EQUAL 0 OR NOT actual STREQUAL expected)
    if(errors MATCHES "HM_E_NOT_FOUND" AND errors MATCHES "mimalloc")
        message("SKIPPED: no mimalloc host here")
    else()
        message(FATAL_ERROR "${SOURCE} ended with ${result}.\nExpected:${expected}\nActual:${actual}")
    endif()
endif()
