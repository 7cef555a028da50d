/* SPDX-License-Identifier: MIT */
/* hostmalloc run, where no library can be preloaded. */
#include "command.h"

static int run_run(int count, char **arguments)
{
    (void)count, (void)arguments;
    return usage_error(&run_verb, "run", "not offered on this system, or in this build");
}

const verb run_verb = {"run", "", "Run any program on a host (not in this build)",
                       "\nIt needs glibc, and a build without sanitizers.\n", run_run};
