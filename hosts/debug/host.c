/* SPDX-License-Identifier: MIT */
/* The debug host: its life, and what it passes on. */
#include "finding_internal.h"

#include "annotate_internal.h"
#include "broken_internal.h"
#include "files_internal.h"
#include "guarded_internal.h"
#include "ignore_internal.h"
#include "live_internal.h"
#include "options_internal.h"
#include "references_internal.h"
#include "stacks_internal.h"
#include "watch_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the process ends with, once a host wants it to; hosts may be gone by then. */
static uint32_t exit_code;

static void host_report_end(debug_host *host)
{
    if (host->keeps_references) {
        debug_file *file = &host->report_file;
        hm__debug_file_lost(file,
                            hm__debug_references_report(host, hm__debug_file_of(file)));
    }
    if (host->leaks || host->findings || host->repeats) {
        hm__debug_report_closing(host);
        if (host->exit_code && (host->leaked || host->findings || host->repeats)) {
            exit_code = host->exit_code;
        }
    }
    const int fd = hm__debug_file_of(&host->snapshot_file);
    if (fd >= 0) {
        hm__debug_file_lost(&host->snapshot_file, hm__debug_snapshot(host, fd));
    }
    hm__debug_files_tell(host);
    hm__debug_live_ended(host);
}

/* 1: hosts that other threads release meanwhile stay as they are; guarded by lock. */
static uint32_t exit_reports;

static void exit_reporting(uint32_t on)
{
    hm__debug.core->lock(&hm__debug.lock);
    exit_reports = on;
    hm__debug.core->unlock(&hm__debug.lock);
}

/* Hosts nobody releases still owe their report. Not in a child of fork those it was born with: their blocks are the parent's too. */
static void at_exit(void)
{
    const uint32_t process = hm__debug.core->process_id();
    exit_reporting(1);
    for (debug_host *host = hm__debug.hosts; host; host = host->next) {
        if (host->process == process) {
            host_report_end(host);
        }
    }
    exit_reporting(0);
    /* exit() would flush after the last handler, and this is the last: what the program wrote must not be lost. No stream
       allocates for that any more. */
    if (exit_code) {
        fflush(NULL);
        _Exit((int)exit_code);
    }
}

static void at_exit_register(void)
{
    static uint32_t registered;
    if (!__atomic_exchange_n(&registered, 1, __ATOMIC_RELAXED)) {
        atexit(at_exit);
    }
}

void hm__debug_host_hold(debug_host *host)
{
    __atomic_add_fetch(&host->layer.references, 1, __ATOMIC_RELAXED);
}

static void host_retain(hm_host *self)
{
    debug_host *host = hm__debug_host_from(self);
    if (host->keeps_references) {
        hm__debug_reference_open(self, (uintptr_t)__builtin_return_address(0));
    }
    hm__debug_host_hold(host);
}

static void host_free(debug_host *host)
{
    const hm_core *core = hm__debug.core;
    hm__debug_files_close(host);
    hm__debug_live_close(host);
    hm__debug_guarded_close(host);
    hm__debug_stacks_forget(host);
    hm__debug_patterns_free(host->patterns);
    hm_host_release(host->layer.inner);
    if (host->keeps_references) {
        hm__debug_references_drop(&host->layer.base);
        hm__debug_host_bury(host);
    } else {
        core->memory_free(host, host->layer.bytes);
    }
}

static void host_end(debug_host *host)
{
    host_report_end(host);
    hm__debug.core->lock(&hm__debug.lock);
    if (exit_reports) {
        hm__debug.core->unlock(&hm__debug.lock);
        return;
    }
    debug_host **place = &hm__debug.hosts;
    while (*place != host) {
        place = &(*place)->next;
    }
    *place = host->next;
    hm__debug.core->unlock(&hm__debug.lock);
    debug_broken broken;
    hm__debug_broken_begin(host, &broken);
    while (host->mallocs) {
        debug_malloc *m = host->mallocs;
        host->mallocs = m->next;
        hm__debug_malloc_discard(m);
    }
    host_free(host);
    hm__debug_broken_end(&broken);
}

void hm__debug_host_let_go(debug_host *host)
{
    if (__atomic_sub_fetch(&host->layer.references, 1, __ATOMIC_ACQ_REL) == 0) {
        host_end(host);
    }
}

static void host_release(hm_host *self)
{
    debug_host *host = hm__debug_host_from(self);
    if (host->keeps_references) {
        hm__debug_reference_close(self);
    }
    hm__debug_host_let_go(host);
}

static hm_status host_create_malloc(hm_host *self,
                                    const hm_malloc_opts *opts,
                                    hm_malloc **out,
                                    hm_error *err)
{
    const hm_status status = hm__debug_malloc_create(self, opts, out, err);
    if (status == HM_OK && hm__debug_host_from(self)->keeps_references) {
        hm__debug_reference_open(*out, (uintptr_t)__builtin_return_address(0));
    }
    return status;
}

static hm_status host_find(hm_host *self, const char *interface_name, void **out)
{
    debug_host *host = hm__debug_host_from(self);
    if (!out || !interface_name) {
        return HM_E_INVALID;
    }
    if (strcmp(interface_name, "debug") == 0) {
        *out = &host->ask;
        return HM_OK;
    }
    return host->layer.inner->vtbl->find(host->layer.inner, interface_name, out);
}

/* Pages, load and notifications are the inner host's affair. Filled in once, before the first host is made. */
static hm_host_vtbl host_vtbl;

static void vtbl_fill(void)
{
    hm_host_vtbl table = *hm__debug.core->host_forward;
    table.size = sizeof(table);
    table.retain = host_retain;
    table.release = host_release;
    table.create_malloc = host_create_malloc;
    table.find = host_find;
    hm__debug.core->lock(&hm__debug.lock);
    if (!host_vtbl.size) {
        host_vtbl = table;
    }
    hm__debug.core->unlock(&hm__debug.lock);
}

static hm_status
host_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    const hm_core *core = hm__debug.core;
    void *found = NULL;
    *out = NULL;
    if (inner->vtbl->find(inner, "debug", &found) == HM_OK) {
        return core->error_set(err, HM_E_INVALID, "host:debug",
                               "there is a debug host inside already; one sees all");
    }
    hm_status status = hm__debug_start(err);
    if (status != HM_OK) {
        return status;
    }
    vtbl_fill();
    hm__debug_watch_prepare();
    hm__debug_annotate_prepare();
    debug_host *host = core->memory_alloc(sizeof(*host));
    if (!host) {
        return core->error_set(err, HM_E_NOMEM, "host:debug", "no memory for a host");
    }
    hm__debug_files_init(host);
    host->ask.vtbl = &hm__debug_ask_host;
    host->process = core->process_id();
    status = hm__debug_options_read(host, values, err);
    if (status != HM_OK) {
        hm__debug_files_close(host);
        hm__debug_live_close(host);
        hm__debug_guarded_close(host);
        hm__debug_patterns_free(host->patterns);
        core->memory_free(host, sizeof(*host));
        return status;
    }
    host->heaptracks =
        core->option_bool(values, "annotate") && hm__debug_heaptrack_possible(inner);
    hm_layer_host_init(&host->layer, &host_vtbl, inner, sizeof(*host));
    core->lock(&hm__debug.lock);
    host->next = hm__debug.hosts;
    hm__debug.hosts = host;
    core->unlock(&hm__debug.lock);
    at_exit_register();
    if (host->keeps_references) {
        hm__debug_reference_open(&host->layer.base,
                                 (uintptr_t)__builtin_return_address(0));
    }
    *out = &host->layer.base;
    return HM_OK;
}

static const hm_host_info info = {
    .size = sizeof(hm_host_info),
    .abi = HM_ABI,
    .kind = HM_KIND_LAYER,
    .name = "debug",
    .summary = "knows the line of every live block; finds leaks, double and wrong frees, "
               "overwritten edges",
    .version = HM_VERSION,
    .options = hm__debug_options,
    .option_count = DEBUG_OPTIONS,
    .open = host_open,
};

hm_status
hm__debug_describe(const hm_core *core, const hm_host_info *const **list, size_t *count)
{
    static const hm_host_info *const infos[] = {&info};
    hm__debug.core = core;
    *list = infos;
    *count = 1;
    return HM_OK;
}
