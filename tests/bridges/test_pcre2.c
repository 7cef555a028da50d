/* SPDX-License-Identifier: MIT */
/* The bridge under a real PCRE2, on every host: patterns and matches, with each allocation failing once. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <hostmalloc/bridges/pcre2.h>

#include "over_hosts.h"

#define PATTERNS 60

static uint64_t
match(pcre2_general_context *general, const char *pattern, uint64_t digest)
{
    static const char subject[] =
        "the 1st line, the 22nd word, and 333 more of them: a-b_c";
    int error;
    PCRE2_SIZE offset;
    pcre2_compile_context *const how = pcre2_compile_context_create(general);
    pcre2_code *const code =
        how ? pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_CASELESS,
                            &error, &offset, how)
            : NULL;
    pcre2_match_data *const data =
        code ? pcre2_match_data_create_from_pattern(code, general) : NULL;
    int found = data ? pcre2_match(code, (PCRE2_SPTR)subject, sizeof(subject) - 1, 0, 0,
                                   data, NULL)
                     : PCRE2_ERROR_NOMEMORY;
    if (found > 0) {
        digest = work_digest(digest, pcre2_get_ovector_pointer(data),
                             (size_t)found * 2 * sizeof(PCRE2_SIZE));
    } else if (found == PCRE2_ERROR_NOMEMORY) {
        digest = 0;
    }
    pcre2_match_data_free(data);
    pcre2_code_free(code);
    pcre2_compile_context_free(how);
    return digest;
}

static uint64_t work(hm_malloc *m)
{
    uint64_t digest = WORK_DIGEST;
    pcre2_general_context *const general =
        m ? hm_pcre2_context(m) : pcre2_general_context_create(NULL, NULL, NULL);
    for (int i = 0; general && digest && i < PATTERNS; i++) {
        char pattern[64];
        snprintf(pattern, sizeof(pattern), "(\\d{%d,}) ?(?<word>[a-z]{1,%d})|(x)\\3*",
                 i % 4, i % 9 + 1);
        digest = match(general, pattern, digest);
    }
    pcre2_general_context_free(general);
    return general ? digest : 0;
}

static void pcre2__matches_as_ever(void **state)
{
    (void)state;
    work_everywhere("pcre2", work, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(pcre2__matches_as_ever)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
