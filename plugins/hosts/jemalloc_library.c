/* SPDX-License-Identifier: MIT */
/* Loads jemalloc when it is wanted: a module that is linked to it could not even be listed where it cannot be loaded.
 * The only file of the hosts here with a header of the system. */
#include "jemalloc_internal.h"

#include <string.h>

#include <dlfcn.h>

jemalloc_functions hm__jemalloc;

static hm_lock lock; /* guards filled, and the functions until it is set */
static int filled;

static const char *const names[] = {"mallocx",  "rallocx", "sallocx", "dallocx",
                                    "sdallocx", "nallocx", "mallctl"};
#define NAMES (sizeof names / sizeof names[0])

HM_STATIC_ASSERT(sizeof(jemalloc_functions) == NAMES * sizeof(void *),
                 "a name for each function, in their order");

static hm_status refuse(const hm_core *core, hm_error *err)
{
    const char *why = dlerror();
    why = why ? why : "the loader gave no reason";
    return core->error_set(
        err, HM_E_OS, "host:jemalloc", "%s%s", why,
        strstr(why, "static TLS")
            ? "; try GLIBC_TUNABLES=glibc.rtld.optional_static_tls=4096"
            : "");
}

static hm_status fill(const hm_core *core, hm_error *err)
{
    void *found[NAMES];
    /* Never unloaded: its blocks and its threads outlive the hosts. */
    void *library =
        dlopen(HOSTMALLOC_JEMALLOC_SONAME, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    for (size_t i = 0; library && i < NAMES; i++) {
        found[i] = dlsym(library, names[i]);
        library = found[i] ? library : NULL;
    }
    if (!library) {
        return refuse(core, err);
    }
    memcpy(&hm__jemalloc, found, sizeof found);
    filled = 1;
    return HM_OK;
}

hm_status hm__jemalloc_load(const hm_core *core, hm_error *err)
{
    core->lock(&lock);
    const hm_status status = filled ? HM_OK : fill(core, err);
    core->unlock(&lock);
    return status;
}
