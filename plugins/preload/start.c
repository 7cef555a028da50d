/* SPDX-License-Identifier: MIT */
/* libhostmalloc_preload.so: hosts under a program that was not built for them. `hostmalloc run` preloads it.
 *
 * The loader calls this after the libraries that the program is linked with have started and before the program does. From
 * the first instruction on malloc() is ours, so what they allocated came from the start-up buffer. */
#include <hostmalloc/hostmalloc.h>

#include <elf.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "callers_internal.h"
#include "inject_internal.h"
#include "interpose_internal.h"
#include "libc_internal.h"
#include "objects_internal.h"
#include "report_internal.h"
#include "serve_internal.h"
#include "settings_internal.h"
#include "startup_internal.h"
#include "thread_internal.h"

static _Noreturn void refuse(const hm_error *err)
{
    hm_error_print(err);
    _exit(HM__PRELOAD_EXIT_REFUSED);
}

static int measure_loader(void *context, const hm__object *object)
{
    const uintptr_t base = *(const uintptr_t *)context;
    const ElfW(Phdr) *headers = object->headers;
    if (object->base != base) {
        return 0;
    }
    for (size_t i = 0; i < object->header_count; i++) {
        if (headers[i].p_type == PT_LOAD) {
            hm__loader_bytes = headers[i].p_vaddr + headers[i].p_memsz;
        }
    }
    return 1;
}

static void find_loader(void)
{
    hm__loader_start = getauxval(AT_BASE);
    hm__objects_visit(measure_loader, &hm__loader_start);
}

static hm_malloc *open_malloc(hm_host *host)
{
    hm_malloc *m = NULL;
    hm_error err;
    if (hm_host_create_malloc(host, "malloc", HM_MALLOC_THREADSAFE, &m, &err) != HM_OK) {
        refuse(&err);
    }
    return m;
}

/* Allocators that are made to be a process's malloc: whatever they call may call them again. */
static int is_direct(const char *spec)
{
    static const char *const hosts[] = {"default", "mimalloc", "jemalloc"};
    const char *chosen = spec ? spec : getenv("HOSTMALLOC");
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        if (strcmp(chosen ? chosen : "default", hosts[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

__attribute__((constructor)) static void start(void)
{
    static hm__settings settings;
    hm_host *host = NULL;
    hm_error err;
    hm__objects_start();
    hm__callers_start();
    hm__startup_guard_fork();
    hm__threads_start();
    const int is_replaced = hm__libc_start();
    hm__settings_read(&settings);
    if (hm_host_open(settings.host, &host, &err) != HM_OK) {
        refuse(&err);
    }
    const int serves = !settings.no_malloc && !is_replaced;
    hm__preload_report_start(&settings, host,
                             serves               ? HM__REPORT_HOSTS
                             : settings.no_malloc ? HM__REPORT_LIBCS
                                                  : HM__REPORT_ANOTHERS);
    const int direct = is_direct(settings.host);
    hm_host *hooked = direct ? host : hm__preload_hooked_host(host);
    hm__preload_serve(serves ? open_malloc(host) : NULL, direct);
    find_loader();
    if (hooked) {
        hm__preload_inject(hooked, settings.bridges);
    }
}
