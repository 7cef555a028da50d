/* SPDX-License-Identifier: MIT */
/* What its maker knows to be no leak. A block is ignored by a state of its own in the block map, so it costs
 * nothing, leaves with the block, and is counted exactly by one walk when a report wants it; a site or a
 * malloc by patterns in a file as LeakSanitizer reads it. */
#include "finding_internal.h"

#include "ignore_internal.h"

#include "guarded_internal.h"

#include <string.h>

#define FILE_BYTES ((size_t)1 << 20)

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The pattern of one line, cut out in place; NULL: the line is none. *pattern "": blank, or a comment. */
static char *line_pattern(char *line, char *end)
{
    static const char prefix[] = "leak:";
    while (line < end && is_blank(*line)) {
        line++;
    }
    while (end > line && is_blank(end[-1])) {
        end--;
    }
    *end = '\0';
    if (line == end || *line == '#') {
        *line = '\0';
        return line;
    }
    if (strncmp(line, prefix, sizeof(prefix) - 1) != 0) {
        return NULL;
    }
    line += sizeof(prefix) - 1;
    while (is_blank(*line)) {
        line++;
    }
    return *line ? line : NULL;
}

/* Lines become patterns one behind the other. 0, or the number of the first line that is none. */
static unsigned patterns_parse(debug_patterns *patterns, size_t bytes)
{
    char *const text = patterns->text;
    char *to = text;
    char *end;
    unsigned number = 1;
    for (char *line = text; line < text + bytes; line = end + 1, number++) {
        end = memchr(line, '\n', (size_t)(text + bytes - line));
        end = end ? end : text + bytes;
        const char *pattern = line_pattern(line, end);
        if (!pattern) {
            return number;
        }
        const size_t length = strlen(pattern);
        if (length) {
            memmove(to, pattern, length + 1);
            to += length + 1;
        }
    }
    patterns->length = (size_t)(to - text);
    return 0;
}

hm_status
hm__debug_patterns_read(debug_patterns **patterns, const char *path, hm_error *err)
{
    const hm_core *core = hm__debug.core;
    debug_patterns *made = core->pages_map(sizeof(*made) + FILE_BYTES);
    if (!made) {
        return core->error_set(err, HM_E_NOMEM, "host:debug",
                               "ignore: no memory for the patterns");
    }
    made->bytes = sizeof(*made) + FILE_BYTES;
    hm_status status = HM_OK;
    const long bytes = core->file_read(path, made->text, FILE_BYTES);
    const unsigned wrong = bytes > 0 ? patterns_parse(made, (size_t)bytes) : 0;
    if (bytes < 0) {
        status =
            core->error_set(err, HM_E_OS, "host:debug", "ignore: cannot read %s", path);
    } else if ((size_t)bytes == FILE_BYTES - 1) {
        status = core->error_set(err, HM_E_INVALID, "host:debug",
                                 "ignore: %s is larger than %u bytes", path,
                                 (unsigned)FILE_BYTES - 2);
    } else if (wrong) {
        status = core->error_set(err, HM_E_INVALID, "host:debug",
                                 "ignore: %s:%u: expected leak:PATTERN or # comment",
                                 path, wrong);
    }
    if (status != HM_OK) {
        hm__debug_patterns_free(made);
        made = NULL;
    }
    *patterns = made;
    return status;
}

void hm__debug_patterns_free(debug_patterns *patterns)
{
    if (patterns) {
        hm__debug.core->pages_unmap(patterns, patterns->bytes);
    }
}

/* * is anything; a $ at the end is the end. */
static int matches_here(const char *pattern, const char *text)
{
    const char *star =
        NULL; /* the last one passed, and where what follows it was tried */
    const char *retry = NULL;
    for (;;) {
        if (*pattern == '*') {
            star = ++pattern;
            retry = text;
        } else if (!*pattern || (pattern[0] == '$' && !pattern[1] && !*text)) {
            return 1;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star && *retry) {
            pattern = star;
            text = ++retry;
        } else {
            return 0;
        }
    }
}

/* Anywhere in the text, unless ^ says that it is at the start. */
static int matches(const char *pattern, const char *text)
{
    if (*pattern == '^') {
        return matches_here(pattern + 1, text);
    }
    for (;; text++) {
        if (matches_here(pattern, text)) {
            return 1;
        }
        if (!*text) {
            return 0;
        }
    }
}

int hm__debug_ignores_name(const debug_patterns *patterns, const char *name)
{
    if (!patterns || !name) {
        return 0;
    }
    for (size_t at = 0; at < patterns->length; at += strlen(patterns->text + at) + 1) {
        if (matches(patterns->text + at, name)) {
            return 1;
        }
    }
    return 0;
}

int hm__debug_ignores_site(const debug_patterns *patterns, const hm_site *site)
{
    char place[512];
    if (!patterns || !site) {
        return 0;
    }
    return hm__debug_ignores_name(patterns, site->function) ||
           hm__debug_ignores_name(patterns, site->file) ||
           hm__debug_ignores_name(
               patterns, hm__debug.core->site_text(site, 0, place, sizeof(place)));
}

void hm__debug_ignore_fresh(debug_host *host, const void *block)
{
    if (hm__block_map_claim(&hm__debug.map, block, DEBUG_LIVE, DEBUG_IGNORED) ||
        hm__debug_guarded_ignore(block)) {
        DEBUG_SET(host->ignores, 1);
    }
}

hm_status hm__debug_ignore(debug_host *host, const debug_malloc *only, const void *block)
{
    debug_facts facts;
    hm_status status = HM_E_NOT_OWNED;
    if (!block) {
        return HM_E_INVALID;
    }
    hm__debug_walk_begin();
    const unsigned state = hm__block_map_state(&hm__debug.map, block);
    if (hm__debug_is_live(state)) {
        hm__debug_facts_read(block, state, &facts);
        if (facts.intact && facts.owner && facts.owner->host == host &&
            (!only || facts.owner == only)) {
            hm__debug_ignore_fresh(host, block);
            status = HM_OK;
        }
    }
    hm__debug_walk_end();
    return status;
}

typedef struct ignored_walk {
    const debug_host *host;
    const debug_malloc *only;
    debug_ignored *rows;
    size_t count;
} ignored_walk;

static int count_one(void *context, void *block, unsigned state)
{
    const ignored_walk *walk = context;
    debug_facts facts;
    if (state == DEBUG_GUARDED && !hm__debug_guarded_is_ignored(block)) {
        return 0;
    }
    hm__debug_facts_read(block, state, &facts);
    if (facts.intact && facts.owner && facts.owner->host == walk->host &&
        (!walk->only || facts.owner == walk->only) && !facts.owner->no_leaks &&
        facts.site_id < walk->count) {
        walk->rows[facts.site_id].blocks++;
        walk->rows[facts.site_id].bytes += facts.bytes;
    }
    return 0;
}

debug_ignored *
hm__debug_ignored_by_site(const debug_host *host, const debug_malloc *only, size_t count)
{
    if (!count || !DEBUG_GET(host->ignores)) {
        return NULL;
    }
    const ignored_walk walk = {
        host, only, hm__debug.core->pages_map(count * sizeof(debug_ignored)), count};
    if (walk.rows) {
        hm__debug_walk_begin();
        hm__block_map_walk(&hm__debug.map, 1u << DEBUG_IGNORED | 1u << DEBUG_GUARDED,
                           count_one, (void *)(uintptr_t)&walk);
        hm__debug_walk_end();
    }
    return walk.rows;
}
