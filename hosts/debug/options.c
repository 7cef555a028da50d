/* SPDX-License-Identifier: MIT */
/* What a debug host can be told, and what of it makes sense. */
#include "options_internal.h"

#include "annotate_internal.h"
#include "break_internal.h"
#include "files_internal.h"
#include "guarded_internal.h"
#include "ignore_internal.h"
#include "live_internal.h"
#include "mode_internal.h"
#include "os_unwind.h"
#include "stacks_internal.h"

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

const hm_option *const hm__debug_options[DEBUG_OPTIONS] = {
    &option_ignore,
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

hm_status
hm__debug_options_read(debug_host *host, const hm_option_values *values, hm_error *err)
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
    status = hm__debug_file_open(&host->report_file, "report", values, err);
    if (status == HM_OK) {
        status = hm__debug_file_open(&host->snapshot_file, "snapshot", values, err);
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
