/* SPDX-License-Identifier: MIT */
/* Task memory on each host in turn; among them one that offers the least a host may, so that the bridge keeps sizes and
 * owners by itself. */
#include "ole_world.h"

#include <hostmalloc/hostmalloc.h>
#include <stdio.h>
#include <string.h>

static const char *const worlds[] = {"default", "mimalloc", "debug", "debug+mimalloc",
                                     "bare"};
static hm_host_vtbl bare_vtbl;

static hm_status bare_create_malloc(hm_host *self,
                                    const hm_malloc_opts *opts,
                                    hm_malloc **out,
                                    hm_error *err)
{
    hm_host *inner = ((hm_layer_host *)self)->inner;
    if (opts && opts->flags) {
        *out = NULL;
        return hm_error_set(err, HM_E_UNSUPPORTED, "host:bare", "no flags are offered");
    }
    return inner->vtbl->create_malloc(inner, opts, out, err);
}

static hm_status bare_open(hm_host **out, hm_error *err)
{
    const hm_core *core = hm_core_table();
    hm_host *inner;
    const hm_status status = hm_host_open("default", &inner, err);
    if (status != HM_OK) {
        return status;
    }
    hm_layer_host *layer = core->memory_alloc(sizeof *layer);
    if (!layer) {
        hm_host_release(inner);
        return HM_E_NOMEM;
    }
    bare_vtbl = *core->host_forward;
    bare_vtbl.create_malloc = bare_create_malloc;
    hm_layer_host_init(layer, &bare_vtbl, inner, sizeof *layer);
    hm_host_release(inner);
    *out = &layer->base;
    return HM_OK;
}

static int enter(const char *world, const char **why)
{
    hm_error err;
    hm_host *host;
    hm_status status = strcmp(world, "bare") == 0 ? bare_open(&host, &err)
                                                  : hm_host_open(world, &host, &err);
    if (status == HM_E_NOT_FOUND) {
        *why = "this build has no such host";
        return 0;
    }
    if (status == HM_OK) {
        status = hm_ole_set_host(host, &err);
        hm_host_release(host);
    }
    if (status != HM_OK) {
        hm_error_print(&err);
    }
    CHECK_EQ(status, HM_OK);
    return 1;
}

static void leave(void)
{
    hm_error err;
    hm_leaks leaks = {.size = sizeof(hm_leaks)};
    const HRESULT revoked = CoRevokeMallocSpy();
    CHECK_EQ(revoked, CO_E_OBJNOTREG);
    const hm_status status = hm_ole_close(&leaks, &err);
    CHECK_EQ(leaks.blocks, 0);
    if (status != HM_OK) {
        hm_error_print(&err);
    }
    CHECK_EQ(status, HM_OK);
}

IMalloc *ole_task(void)
{
    IMalloc *m = NULL;
    CHECK_EQ(CoGetMalloc(MEMCTX_TASK, &m), S_OK);
    REQUIRE(m != NULL);
    return m;
}

static int count_one(void *context, const hm_block *block)
{
    (void)block;
    (*(size_t *)context)++;
    return 0;
}

size_t ole_live(void)
{
    hm_malloc *m = hm_ole_malloc();
    size_t live = 0;
    if (m) {
        CHECK_EQ(hm_walk(m, count_one, &live), HM_OK);
    }
    return live;
}

void ole_spy_on(recorder *r)
{
    const HRESULT status = CoRegisterMallocSpy(&r->base);
    CHECK_EQ(status, S_OK);
    REQUIRE(status == S_OK);
}

void ole_spy_start(recorder *r, SIZE_T header)
{
    recorder_init(r);
    r->header = header;
    ole_spy_on(r);
}

void ole_spy_off(void)
{
    CHECK_EQ(CoRevokeMallocSpy(), S_OK);
}

int main(int argc, char **argv)
{
    return ole_cases_run(argc, argv, worlds, COUNT(worlds), enter, leave);
}
