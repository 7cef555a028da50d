/* SPDX-License-Identifier: MIT */
/* Stopping where the Nth block of a site is made; watch.c shows each block that is made. */
#include "break_internal.h"

#include "files_internal.h"
#include "finding_internal.h"
#include "os.h"

#include <string.h>

HM_API DEBUG_COLD void hm_debug_break(const void *block)
{
    /* A debugger stops here; compilers must keep the call. */
    static const void *last;
    __atomic_store_n(&last, block, __ATOMIC_RELAXED);
}

int hm__debug_is_place(const char *place, const hm_site *site)
{
    char text[1024];
    const size_t length = strlen(place);
    hm__debug.core->site_text(site, 0, text, sizeof(text));
    const size_t whole = strlen(text);
    return whole >= length && strcmp(text + whole - length, place) == 0 &&
           (whole == length || text[whole - length - 1] == '/' ||
            text[whole - length - 1] == '\\');
}

/* A fresh block: the caller's alone, so its header may be read. */
void hm__debug_break_look(const debug_malloc *m, const void *block)
{
    const debug_break *wanted = &m->host->stop;
    debug_facts facts;
    hm__debug_facts_read(block, DEBUG_LIVE, &facts);
    const uint32_t number = facts.serial;
    if (number != wanted->number) {
        return;
    }
    const hm_site *site = facts.site;
    if (hm__debug_is_place(wanted->place, site)) {
        debug_text text;
        hm__debug_text_start(&text);
        hm__debug_put(&text, "==hostmalloc== BREAK at block ");
        hm__debug_put_hex(&text, (uintptr_t)block);
        hm__debug_put(&text, ", #");
        hm__debug_put_number(&text, number);
        hm__debug_put(&text, " of ");
        hm__debug_put_site(&text, site);
        hm__debug_put(&text, ", malloc \"");
        hm__debug_put(&text, m->name);
        hm__debug_put(&text, "\"\n");
        hm__debug_file_send(&m->host->report_file, &text);
        hm_debug_break(block);
        if (wanted->aborts) {
            hm__os_abort();
        }
    }
}

/* "FILE:LINE". */
static int is_place(const char *text, size_t length)
{
    size_t digits = 0;
    while (digits < length && text[length - 1 - digits] >= '0' &&
           text[length - 1 - digits] <= '9') {
        digits++;
    }
    return digits > 0 && length > digits + 1 && text[length - 1 - digits] == ':';
}

hm_status hm__debug_break_read(debug_break *wanted, const char *text, hm_error *err)
{
    const char *mark = strrchr(text, '#');
    const size_t length = mark ? (size_t)(mark - text) : strlen(text);
    uint32_t number = mark ? 0 : 1;
    for (const char *digit = mark ? mark + 1 : ""; *digit; digit++) {
        const uint32_t value = (uint32_t)(unsigned char)*digit - '0';
        if (value > 9 || number > DEBUG_SERIAL_MAX) {
            number = 0;
            break;
        }
        number = number * 10 + value;
    }
    if (!is_place(text, length) || length >= sizeof(wanted->place) || !number ||
        number > DEBUG_SERIAL_MAX) {
        return hm__debug.core->error_set(
            err, HM_E_INVALID, "host:debug",
            "break: \"%s\", expected FILE:LINE#N with N from 1 to %u", text,
            DEBUG_SERIAL_MAX);
    }
    memcpy(wanted->place, text, length);
    wanted->place[length] = '\0';
    wanted->number = number;
    return HM_OK;
}
