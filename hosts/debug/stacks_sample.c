/* SPDX-License-Identifier: MIT */
/* Which allocations a sample has: each byte is drawn with the same chance, so a block of s bytes is in it with 1 - exp(-s/every)
 * and stands for the reciprocal of that many. No function of the mathematical library is at hand here. */
#include "stacks_internal.h"

/* For 0 < u <= 1. */
static double minus_log(double u)
{
    double result = 0;
    while (u < 0.5) {
        u *= 2;
        result += 0.69314718055994531;
    }
    const double z = (1 - u) / (1 + u), square = z * z;
    return result +
           2 * z *
               (1 + square *
                        (1.0 / 3 + square * (1.0 / 5 + square * (1.0 / 7 + square / 9))));
}

/* 1 - exp(-x), to a few parts in a million. */
static double share(double x)
{
    double power = 1 - x / (1 << 20);
    if (x > 30) {
        return 1;
    }
    for (int i = 0; i < 20; i++) {
        power *= power;
    }
    return 1 - power;
}

static uint64_t next_random(debug_thread *me)
{
    uint64_t state = me->random;
    if (!state) {
        state = (hm__debug_cookie ^ ((uint64_t)me->id << 32)) | 1;
    }
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    me->random = state;
    return state * UINT64_C(0x2545F4914F6CDD1D);
}

static int64_t draw(debug_thread *me, uint64_t every)
{
    const double u = ((double)(next_random(me) >> 11) + 1) / 9007199254740992.0;
    return (int64_t)(minus_log(u) * (double)every) + 1;
}

int hm__debug_sample_wants(debug_thread *me, uint64_t every, size_t bytes)
{
    if (!me->sample_left) {
        me->sample_left = draw(me, every);
    }
    if ((uint64_t)me->sample_left > bytes) {
        me->sample_left -= (int64_t)bytes;
        return 0;
    }
    me->sample_left = draw(me, every);
    return 1;
}

double hm__debug_sample_weight(uint64_t every, size_t bytes)
{
    return every ? 1 / share((double)(bytes ? bytes : 1) / (double)every) : 1;
}
