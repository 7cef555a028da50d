/* SPDX-License-Identifier: MIT */
/* Reading a rule, and asking it about one allocation. Whether allocation n fails depends on the rule, the seed and
 * n alone, so a run can be repeated. */
#include "fault_internal.h"

#include <string.h>

/* '*' any run of characters, '?' any one. Goes back only to the last '*', so it takes no worse than n * m. */
static int matches(const char *pattern, const char *text)
{
    const char *star = NULL;
    const char *mark = text;
    while (*text) {
        if (*pattern == *text || *pattern == '?') {
            pattern++;
            text++;
        } else if (*pattern == '*') {
            star = pattern++;
            mark = text;
        } else if (star) {
            pattern = star + 1;
            text = ++mark;
        } else {
            return 0;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

/* Moves *at past a number; 0 when there is none or it is too large. */
static int read_number(const char **at, uint64_t *out)
{
    const char *from = *at;
    uint64_t number = 0;
    for (; **at >= '0' && **at <= '9'; ++*at) {
        const uint64_t digit = (uint64_t)(**at - '0');
        if (number > (UINT64_MAX - digit) / 10) {
            return 0;
        }
        number = number * 10 + digit;
    }
    *out = number;
    return *at != from;
}

static hm_status
bad_schedule(const hm_core *core, const char *text, const char *at, hm_error *err)
{
    return core->error_set(
        err, HM_E_INVALID, "layer:fault",
        "at=\"%.60s\" not understood at character %d, expected numbers "
        "and ranges from 1, rising: 3,7,20-25,100-",
        text, (int)(at - text) + 1);
}

/* "3,7,20-25,100-" */
static hm_status
read_schedule(const hm_core *core, const char *text, fault_plan *plan, hm_error *err)
{
    const char *at = text;
    uint64_t previous = 0;
    do {
        fault_range range;
        if (at != text) {
            at++; /* the comma */
        }
        if (plan->at_count == FAULT_RANGES || !read_number(&at, &range.first) ||
            range.first <= previous) {
            return bad_schedule(core, text, at, err);
        }
        range.last = range.first;
        if (*at == '-') {
            at++;
            range.last = UINT64_MAX;
            if (*at && (!read_number(&at, &range.last) || range.last < range.first)) {
                return bad_schedule(core, text, at, err);
            }
        }
        previous = range.last;
        plan->at[plan->at_count++] = range;
    } while (*at == ',');
    return *at ? bad_schedule(core, text, at, err) : HM_OK;
}

hm_status hm__fault_plan_read(const hm_core *core,
                              const hm_fault_rule *rule,
                              fault_plan *plan,
                              hm_error *err)
{
    if (rule->site && strlen(rule->site) >= sizeof plan->site) {
        return core->error_set(err, HM_E_INVALID, "layer:fault",
                               "site pattern of %zu characters, expected less than %d",
                               strlen(rule->site), FAULT_SITE_BYTES);
    }
    if (!(rule->probability >= 0 && rule->probability <= 1)) {
        return core->error_set(err, HM_E_INVALID, "layer:fault",
                               "probability is not within 0 and 1");
    }
    if (rule->size_max && rule->size_max < rule->size_min) {
        return core->error_set(err, HM_E_INVALID, "layer:fault",
                               "sizes from %llu to %llu, expected them to rise",
                               (unsigned long long)rule->size_min,
                               (unsigned long long)rule->size_max);
    }
    if (rule->site) {
        memcpy(plan->site, rule->site, strlen(rule->site) + 1);
    }
    plan->size_min = rule->size_min;
    plan->size_max = rule->size_max ? rule->size_max : UINT64_MAX;
    plan->any_level = rule->any_level;
    plan->level = rule->level;
    plan->every = rule->every;
    plan->chance = rule->probability >= 1
                       ? UINT64_MAX
                       : (uint64_t)(rule->probability * 18446744073709551616.0);
    plan->seed = rule->seed;
    plan->persistent = rule->persistent;
    plan->fork = rule->fork;
    return rule->at ? read_schedule(core, rule->at, plan, err) : HM_OK;
}

int hm__fault_applies(const hm_core *core,
                      const fault_plan *plan,
                      size_t size,
                      hm_level level,
                      const hm_site *site)
{
    char text[512];
    if (size < plan->size_min || size > plan->size_max) {
        return 0;
    }
    if (!plan->any_level &&
        plan->level != (level == HM_LEVEL_CURRENT ? core->level_now() : level)) {
        return 0;
    }
    return !plan->site[0] ||
           matches(plan->site, core->site_text(site, 0, text, sizeof text));
}

/* Every output bit depends on every input bit; the constants are those of splitmix64. */
static uint64_t scramble(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

int hm__fault_chosen(const fault_plan *plan, uint64_t number)
{
    for (unsigned i = 0; i < plan->at_count; i++) {
        if (number >= plan->at[i].first && number <= plan->at[i].last) {
            return 1;
        }
    }
    if (plan->every && number % plan->every == 0) {
        return 1;
    }
    return plan->chance && scramble(plan->seed ^ scramble(number)) <= plan->chance - 1;
}
