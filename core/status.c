/* SPDX-License-Identifier: MIT */
/* Names for statuses, and errors that explain themselves without allocating. */
#include <hostmalloc/status.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "assert_internal.h"
#include "os.h"

const char *hm_status_name(hm_status status)
{
    static const char *const names[] = {
        "HM_OK",          "HM_E_NOMEM",  "HM_E_INVALID", "HM_E_UNSUPPORTED",
        "HM_E_NOT_OWNED", "HM_E_FREED",  "HM_E_CORRUPT", "HM_E_SIZE",
        "HM_E_STARTED",   "HM_E_CLOSED", "HM_E_EXISTS",  "HM_E_NOT_FOUND",
        "HM_E_TIMEOUT",   "HM_E_ABI",    "HM_E_OS"};
    const int64_t index = -(int64_t)status;
    const int64_t count = (int64_t)(sizeof names / sizeof names[0]);
    return index >= 0 && index < count ? names[index] : "HM_E_?";
}

/* Names, options and paths come from anywhere, and may hold what would make two lines of one. */
static void one_line(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            *text = '?';
        }
    }
}

hm_status
hm_error_set(hm_error *err, hm_status status, const char *where, const char *format, ...)
{
    if (!err) {
        return status;
    }
    memset(err, 0, sizeof *err);
    err->status = status;
    err->os_code = status == HM_E_OS ? hm__os_error() : 0;
    if (where) {
        const size_t length = strlen(where);
        memcpy(err->where, where,
               length < sizeof err->where ? length : sizeof err->where - 1);
    }
    /* vsnprintf keeps to its buffer and, for integers and strings, to the stack. */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(err->what, sizeof err->what, format, arguments);
    va_end(arguments);
    one_line(err->where);
    one_line(err->what);
    return status;
}

void hm_error_print(const hm_error *err)
{
    if (!err || err->status == HM_OK) {
        return;
    }
    char line[sizeof *err + 64];
    int length = snprintf(line, sizeof line, "hostmalloc: %.*s%s%.*s (%s",
                          (int)sizeof err->where, err->where, err->where[0] ? ": " : "",
                          (int)sizeof err->what, err->what, hm_status_name(err->status));
    if (err->os_code) {
        length += snprintf(line + length, sizeof line - (size_t)length,
                           ", system code %d", err->os_code);
    }
    length += snprintf(line + length, sizeof line - (size_t)length, ")\n");
    hm__os_write(2, line, (size_t)length);
}

void hm__panic(const char *text)
{
    static const char head[] = "hostmalloc: panic: ";
    hm__os_write(2, head, sizeof head - 1);
    hm__os_write(2, text, strlen(text));
    hm__os_write(2, "\n", 1);
    hm__os_abort();
}
