/* SPDX-License-Identifier: MIT */
/* The debug host: its options, its life, and what it passes on. */
#include "finding_internal.h"

#include "annotate_internal.h"
#include "break_internal.h"
#include "guarded_internal.h"
#include "ignore_internal.h"
#include "live_internal.h"
#include "mode_internal.h"
#include "os_unwind.h"
#include "references_internal.h"
#include "stacks_internal.h"
#include "watch_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const hm_option option_report = {
    sizeof(hm_option),
    "report",
    HM_OPTION_TEXT,
    0,
    NULL,
    "file for reports, \"%p\" in it is the process number; standard error when not set",
    NULL};
static const hm_option option_snapshot = {
    sizeof(hm_option),
    "snapshot",
    HM_OPTION_TEXT,
    0,
    NULL,
    "file for a snapshot at the end, for `hostmalloc report`; \"%p\" as above",
    NULL};
static const hm_option option_leaks = {
    sizeof(hm_option),
    "leaks",
    HM_OPTION_BOOL,
    0,
    "yes",
    "report blocks still live when the host is released, or the process ends",
    NULL};
static const hm_option option_ignore = {
    sizeof(hm_option),
    "ignore",
    HM_OPTION_TEXT,
    0,
    NULL,
    "file of leaks that are none: leak:PATTERN lines for functions, files or mallocs",
    NULL};
static const hm_option option_exitcode = {
    sizeof(hm_option),
    "exitcode",
    HM_OPTION_NUMBER,
    0,
    "0",
    "a process that reported leaks or mistakes ends with this, 1 to 255; 0: as it would",
    NULL};
static const hm_option option_break = {
    sizeof(hm_option),
    "break",
    HM_OPTION_TEXT,
    0,
    NULL,
    "FILE:LINE#N: call hm_debug_break, for a debugger, when the Nth block of that line "
    "is made",
    NULL};
static const hm_option option_abort = {
    sizeof(hm_option), "abort", HM_OPTION_BOOL, 0, "no", "abort at break=", NULL};
static const hm_option option_live = {
    sizeof(hm_option),
    "live",
    HM_OPTION_TEXT,
    0,
    NULL,
    "file the figures are counted in, for `hostmalloc report` at any time, also after "
    "SIGKILL; \"%p\" as above",
    NULL};
static const hm_option option_guard = {
    sizeof(hm_option),
    "guard",
    HM_OPTION_TEXT,
    0,
    NULL,
    "blocks on pages of their own, where reads past the end or after the free fault: "
    "all, "
    "site:FILE:LINE, size:BYTES, or 1/BLOCKS of all and the first of each site",
    NULL};
static const hm_option option_guard_slots = {
    sizeof(hm_option),
    "guard_slots",
    HM_OPTION_NUMBER,
    0,
    "1024",
    "guarded blocks, live and freed ones together; more are not guarded, and counted",
    NULL};
static const hm_option option_guard_align = {
    sizeof(hm_option),
    "guard_align",
    HM_OPTION_CHOICE,
    0,
    "auto",
    "which end is at the protected page: right, left for what runs before the start; "
    "auto "
    "is right, and left for every eighth of a sample",
    "auto|right|left"};
static const hm_option option_frames = {
    sizeof(hm_option),
    "frames",
    HM_OPTION_NUMBER,
    0,
    "0",
    "frames of the stack each block came from, at most 64; 0: no stacks",
    NULL};
static const hm_option option_sample = {sizeof(hm_option),
                                        "sample",
                                        HM_OPTION_BYTES,
                                        0,
                                        "0",
                                        "stacks only of a sample, one in so many bytes, "
                                        "with figures that are estimates; 0: of "
                                        "all blocks",
                                        NULL};
static const hm_option option_references = {
    sizeof(hm_option),
    "references",
    HM_OPTION_BOOL,
    0,
    "no",
    "who retained mallocs and the host and never released them, at the end; and who "
    "releases a host once too often",
    NULL};
static const hm_option option_annotate = {
    sizeof(hm_option),
    "annotate",
    HM_OPTION_BOOL,
    0,
    "yes",
    "tell valgrind, AddressSanitizer and heaptrack, "
    "where one is there, what they cannot know",
    NULL};
static const hm_option option_suppressions = {
    sizeof(hm_option),
    "suppressions",
    HM_OPTION_BOOL,
    0,
    "no",
    "with leaks, print lines that ignore them, ready to paste into that file",
    NULL};

static const hm_option *const options[] = {&option_ignore,
                                           &option_suppressions,
                                           &option_report,
                                           &option_snapshot,
                                           &option_leaks,
                                           &hm__debug_option_mode,
                                           &hm__debug_option_edges,
                                           &hm__debug_option_fill,
                                           &hm__debug_option_quarantine,
                                           &hm__debug_option_quarantine_bytes,
                                           &option_exitcode,
                                           &option_break,
                                           &option_abort,
                                           &option_live,
                                           &option_guard,
                                           &option_guard_slots,
                                           &option_guard_align,
                                           &option_frames,
                                           &option_sample,
                                           &option_references,
                                           &option_annotate};

/* What the process ends with, once a host wants it to; hosts may be gone by then. */
static uint32_t exit_code;

static void host_report_end(debug_host *host)
{
    if (host->keeps_references) {
        hm__debug_references_report(host, host->fd);
    }
    if (host->leaks || host->findings || host->repeats) {
        hm__debug_report_closing(host);
        if (host->exit_code && (host->leaked || host->findings || host->repeats)) {
            exit_code = host->exit_code;
        }
    }
    if (host->snapshot_fd >= 0) {
        hm__debug_snapshot(host, host->snapshot_fd);
    }
    hm__debug_live_ended(host);
}

/* Hosts nobody releases still owe their report. Not in a child of fork: its blocks are the parent's too. */
static uint32_t exit_process;

static void at_exit(void)
{
    if (hm__debug.core->process_id() != exit_process) {
        return;
    }
    for (debug_host *host = hm__debug.hosts; host; host = host->next) {
        host_report_end(host);
    }
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
    exit_process = hm__debug.core->process_id();
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

static void files_close(const debug_host *host)
{
    if (host->fd != 2) {
        hm__debug.core->file_close(host->fd);
    }
    if (host->snapshot_fd >= 0) {
        hm__debug.core->file_close(host->snapshot_fd);
    }
}

static void host_free(debug_host *host)
{
    const hm_core *core = hm__debug.core;
    files_close(host);
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
    debug_host **place = &hm__debug.hosts;
    while (*place != host) {
        place = &(*place)->next;
    }
    *place = host->next;
    hm__debug.core->unlock(&hm__debug.lock);
    while (host->mallocs) {
        debug_malloc *m = host->mallocs;
        host->mallocs = m->next;
        hm__debug_malloc_discard(m);
    }
    host_free(host);
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

/* Opened at once, so that a path that cannot be written is known before the run and not after it. */
static hm_status
file_open(int *fd, const char *option, const hm_option_values *values, hm_error *err)
{
    const hm_core *core = hm__debug.core;
    const char *path = core->option_text(values, option);
    char expanded[1024];
    if (!path) {
        return HM_OK;
    }
    if (!hm__debug_path(expanded, sizeof(expanded), path)) {
        return core->error_set(err, HM_E_INVALID, "host:debug",
                               "%s: the path is longer than %u characters", option,
                               (unsigned)sizeof(expanded) - 1);
    }
    const int made = core->file_create(expanded, 0);
    if (made < 0) {
        return core->error_set(err, HM_E_OS, "host:debug", "%s: cannot write %s", option,
                               expanded);
    }
    *fd = made;
    return HM_OK;
}

static hm_status
options_read(debug_host *host, const hm_option_values *values, hm_error *err)
{
    const hm_core *core = hm__debug.core;
    const hm_status mode = hm__debug_mode_read(host, values, err);
    if (mode != HM_OK) {
        return mode;
    }
    host->leaks = core->option_bool(values, "leaks");
    const uint64_t code = core->option_number(values, "exitcode");
    if (code > 255) {
        return core->error_set(err, HM_E_INVALID, "host:debug",
                               "exitcode: %llu, expected at most 255",
                               (unsigned long long)code);
    }
    host->exit_code = (uint32_t)code;
    host->annotates = host->edge && core->option_bool(values, "annotate") &&
                      hm__debug_annotate_possible();
    host->keeps_references = core->option_bool(values, "references");
    host->suppressions = core->option_bool(values, "suppressions");
    const char *stop = core->option_text(values, "break");
    hm_status status = stop ? hm__debug_break_read(&host->stop, stop, err) : HM_OK;
    host->stop.aborts = core->option_bool(values, "abort");
    const char *ignore = core->option_text(values, "ignore");
    if (status == HM_OK && ignore) {
        status = hm__debug_patterns_read(&host->patterns, ignore, err);
    }
    if (status != HM_OK) {
        return status;
    }
    status = file_open(&host->fd, "report", values, err);
    if (status == HM_OK) {
        status = file_open(&host->snapshot_fd, "snapshot", values, err);
    }
    const uint64_t frames = core->option_number(values, "frames");
    if (status == HM_OK && frames > DEBUG_FRAMES_MAX) {
        status = core->error_set(err, HM_E_INVALID, "host:debug",
                                 "frames: %llu, expected at most %u",
                                 (unsigned long long)frames, DEBUG_FRAMES_MAX);
    }
    host->sample_bytes = core->option_number(values, "sample");
    host->frames = frames || !host->sample_bytes ? (uint32_t)frames : DEBUG_FRAMES_SAMPLE;
    if (host->frames || host->keeps_references) {
        hm__os_unwind_prepare(); /* without it stacks are what frame pointers tell */
    }
    const char *guard = core->option_text(values, "guard");
    if (status == HM_OK && guard) {
        status =
            hm__debug_guarded_open(host, guard, core->option_text(values, "guard_align"),
                                   core->option_number(values, "guard_slots"), err);
    }
    const char *live = core->option_text(values, "live");
    return status == HM_OK && live ? hm__debug_live_open(host, live, err) : status;
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
    host->fd = 2;
    host->snapshot_fd = -1;
    host->ask.vtbl = &hm__debug_ask_host;
    status = options_read(host, values, err);
    if (status != HM_OK) {
        files_close(host);
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
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
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
