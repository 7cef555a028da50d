# SPDX-License-Identifier: MIT
# hostmalloc_add_conformance_test(TARGET [NAME test] [SPECS spec...])
#
# Adds tests that run the conformance kit, `hostmalloc check`, over a module: TARGET is the MODULE library that offers hosts
# or layers, found in its own folder. Without SPECS all that the module describes is opened without options, layers over
# default and over debug. Each spec is one more test. Tests are named conformance_TARGET, or as NAME says, with the spec
# behind. Needs enable_testing() and the installed command, or hostmalloc as a sub-project with HOSTMALLOC_BUILD_TOOLS.
function(hostmalloc_add_conformance_test target)
    cmake_parse_arguments(PARSE_ARGV 1 conformance "" "NAME" "SPECS")
    if(conformance_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "hostmalloc_add_conformance_test: unknown: ${conformance_UNPARSED_ARGUMENTS}")
    endif()
    if(TARGET hostmalloc_command)
        set(command $<TARGET_FILE:hostmalloc_command>)
    elseif(hostmalloc_COMMAND)
        set(command "${hostmalloc_COMMAND}")
    else()
        message(FATAL_ERROR "hostmalloc_add_conformance_test: no hostmalloc command (HOSTMALLOC_BUILD_TOOLS)")
    endif()
    if(NOT conformance_NAME)
        set(conformance_NAME conformance_${target})
    endif()
    add_test(NAME ${conformance_NAME} COMMAND ${command} check $<TARGET_FILE:${target}>)
    set(tests ${conformance_NAME})
    foreach(spec IN LISTS conformance_SPECS)
        add_test(NAME "${conformance_NAME}_${spec}" COMMAND ${command} check ${spec})
        list(APPEND tests "${conformance_NAME}_${spec}")
    endforeach()
    set_tests_properties(${tests} PROPERTIES TIMEOUT 120)
    set_property(TEST ${tests} APPEND PROPERTY ENVIRONMENT_MODIFICATION
        "HOSTMALLOC_PLUGIN_PATH=path_list_prepend:$<TARGET_FILE_DIR:${target}>")
endfunction()
