/* SPDX-License-Identifier: MIT */
/* Names of files that hosts write: a process and its children must not write into one. */
#include "debug_internal.h"

int hm__debug_path(char *to, size_t size, const char *from)
{
    size_t at = 0;
    for (; *from; from++) {
        char digits[16];
        size_t count = 0;
        if (from[0] == '%' && from[1] == 'p') {
            uint32_t process = hm__debug.core->process_id();
            for (; process; process /= 10) {
                digits[count++] = (char)('0' + process % 10);
            }
            from++;
        } else {
            digits[count++] = *from;
        }
        if (at + count >= size) {
            return 0;
        }
        while (count) {
            to[at++] = digits[--count];
        }
    }
    to[at] = '\0';
    return 1;
}
