/* SPDX-License-Identifier: MIT */
/* Swaps that are asked for from outside: by a signal, or by a control file.
 *
 * A signal's handler, the core's, only counts; the next allocation of any thread finds the count moved and does
 * the work, so nothing happens in a program that allocates nothing. The file is looked at by trim, and by an
 * allocation when the last look is a second old. One thread swaps; the others go on with the host there is. */
#include "swap_internal.h"

#include <string.h>

#define LOOK_EVERY_NS UINT64_C(1000000000)
#define LOOK_TICKS    64u /* allocations between two looks at the clock */
#define SIGNALS_MOST  8

/* Counters of signals are for good: a handler may be at one at any time. */
static hm_lock signals_lock;
static struct {
    char name[16];
    uint32_t arrived; /* atomic */
} signals[SIGNALS_MOST];

hm_status hm__swap_watch(const hm_core *core,
                         swap_host *host,
                         const char *signal_name,
                         hm_error *err)
{
    const size_t length = strlen(signal_name);
    hm_status status = HM_E_INVALID;
    core->lock(&signals_lock);
    for (size_t i = 0; i < SIGNALS_MOST && length < sizeof signals[i].name; i++) {
        const int known = strcmp(signals[i].name, signal_name) == 0;
        if (!known && signals[i].name[0]) {
            continue;
        }
        if (known || (HM_HAS(core, hm_core, signal_count) &&
                      core->signal_count(signal_name, &signals[i].arrived))) {
            memcpy(signals[i].name, signal_name, length);
            host->signals = &signals[i].arrived;
            host->signals_seen = __atomic_load_n(host->signals, __ATOMIC_RELAXED);
            status = HM_OK;
        }
        break;
    }
    core->unlock(&signals_lock);
    return status == HM_OK
               ? status
               : core->error_set(err, status, "layer:swap",
                                 "signal=%.32s cannot be watched, expected a name like "
                                 "USR2 or a number",
                                 signal_name);
}

static void say_refused(const hm_core *core, const char *spec, const hm_error *err)
{
    const char *const parts[] = {"hostmalloc: swap to ", spec,
                                 " was refused: ", err->what, "\n"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        core->write(2, parts[i], strlen(parts[i]));
    }
}

static void swap_to(const hm_core *core, swap_host *host, const char *spec)
{
    hm_error err;
    if (hm__swap_to(host, spec, &err) != HM_OK) {
        say_refused(core, spec[0] ? spec : "the first host", &err);
    }
}

/* Each arrival goes to the other host: `to`, and back. */
static void look_at_signals(const hm_core *core, swap_host *host)
{
    const uint32_t arrived = __atomic_load_n(host->signals, __ATOMIC_RELAXED);
    const uint32_t news = arrived - host->signals_seen;
    __atomic_store_n(&host->signals_seen, arrived, __ATOMIC_RELAXED);
    if (news & 1) {
        host->away = !host->away;
        swap_to(core, host, host->away ? host->to : "");
    }
}

/* One line, a spec; "-" is the first host. No file, or an empty one, says nothing. */
static void look_at_file(const hm_core *core, swap_host *host)
{
    char text[SWAP_TEXT_ROOM];
    const long length = core->file_read(host->file, text, sizeof text);
    if (length <= 0) {
        return;
    }
    text[strcspn(text, "\r\n")] = '\0';
    if (text[0] && strcmp(text, host->last) != 0) {
        memcpy(host->last, text, sizeof text);
        swap_to(core, host, strcmp(text, "-") == 0 ? "" : text);
    }
}

/* 1 at most once a second, for one thread. */
static int is_time_to_look(const hm_core *core, swap_host *host)
{
    const uint32_t ticks = __atomic_load_n(&host->ticks, __ATOMIC_RELAXED);
    __atomic_store_n(&host->ticks, ticks + 1, __ATOMIC_RELAXED);
    if (ticks % LOOK_TICKS != 0) {
        return 0;
    }
    const uint64_t now = core->now_ns();
    uint64_t due = __atomic_load_n(&host->next_look, __ATOMIC_RELAXED);
    return now >= due &&
           __atomic_compare_exchange_n(&host->next_look, &due, now + LOOK_EVERY_NS, 0,
                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

void hm__swap_look(const hm_core *core, swap_host *host, int at_once)
{
    const int signalled =
        host->signals && __atomic_load_n(host->signals, __ATOMIC_RELAXED) !=
                             __atomic_load_n(&host->signals_seen, __ATOMIC_RELAXED);
    const int file = host->file[0] && (at_once || is_time_to_look(core, host));
    if (!(signalled || file) || __atomic_exchange_n(&host->busy, 1, __ATOMIC_ACQUIRE)) {
        return;
    }
    if (signalled) {
        look_at_signals(core, host);
    }
    if (file) {
        look_at_file(core, host);
    }
    __atomic_store_n(&host->busy, 0, __ATOMIC_RELEASE);
}
